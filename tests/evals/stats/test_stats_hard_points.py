"""Where each statistic is most likely to be wrong: rates near zero, few clusters, few items that change, small groups.

Coverage is exact where all outcomes can be summed, otherwise simulated; 2,000 runs have a standard error of 0.5 points.
"""

import math
from functools import lru_cache

import numpy as np
import pytest
from scipy import optimize, stats

from counterpoise.base import InputError
from counterpoise.evals.stats import (
    benjamini_hochberg,
    clopper_pearson,
    detectable_paired,
    effective_n,
    holm,
    macro_rate,
    mcnemar_p,
    n_paired,
    n_unpaired,
    non_inferior,
    paired_difference,
    prediction_powered,
    rank_normal,
    rate,
    rogan_gladen,
    tango,
    wilson,
    zero_event_bound,
)

# --- one rate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [30, 100, 330])
def test_what_zero_events_prove_holds_at_its_own_bound(n):
    """At the bound itself no event has a chance of exactly 5 %; a higher rate would be missed less often."""
    assert stats.binom.pmf(0, n, zero_event_bound(n)) == pytest.approx(0.05)


@pytest.mark.parametrize(("k", "n"), [(0, 27), (1, 27), (13, 50), (50, 50), (7.5, 41.3)])
def test_effective_n_is_the_inverse_of_wilson(k, n):
    assert effective_n(k / n, *wilson(k, n)) == pytest.approx(n)


def test_effective_n_counts_what_clusters_leave():
    copied = rate([1, 0, 0, 0, 1] * 24, [i // 3 for i in range(120)])
    same = rate([v for v in [1, 0, 0, 0, 1] * 8 for _ in range(3)], [i // 3 for i in range(120)])
    assert effective_n(*copied[:3]) > 100 and effective_n(*same[:3]) == pytest.approx(40, rel=0.1)
    with pytest.raises(InputError, match="inside its interval"):
        effective_n(0.5, 0.6, 0.7)


def _clustered(random, groups, size, p, strength):
    rates = random.beta(p / strength, (1 - p) / strength, groups)
    return (random.random((groups, size)) < rates[:, None]).astype(float).ravel(), np.repeat(np.arange(groups), size)


@pytest.mark.parametrize(("groups", "size", "p", "strength"), [(8, 20, 0.3, 0.3), (6, 10, 0.5, 0.3)])
def test_few_clusters_make_the_design_effect_uncertain(groups, size, p, strength):
    """Without Korn and Graubard's factor coverage is 90.4 and 90.7 %."""
    random, inside = np.random.default_rng(0), 0
    for _ in range(1_500):
        _, low, high, *_ = rate(*_clustered(random, groups, size, p, strength))
        inside += low <= p <= high
    assert inside / 1_500 >= 0.935


def _coverage(draw, truth, runs=500):
    """Of `macro_rate`; `draw` makes (values, groups, clusters)."""
    random, inside = np.random.default_rng(0), 0
    for _ in range(runs):
        values, groups, clusters = draw(random)
        found = macro_rate(values, groups.tolist(), clusters.tolist())
        inside += found.low <= truth <= found.high
    return inside / runs


MANY_TINY, ONE_LARGE = ([3] * 13, [0.1] * 13), ([5, 200], [0.3, 0.3])
RARE_BESIDE_TINY = ([100] * 5 + [4] * 5, [0.01] * 5 + [0.5] * 5)


@pytest.mark.parametrize(
    ("sizes", "rates"),
    [
        MANY_TINY,
        ONE_LARGE,
        ([3, 3, 200], [0.2, 0.6, 0.05]),
        ([2] * 13, [0.05] * 13),
        ([1] * 12, [0.3] * 12),
        RARE_BESIDE_TINY,
    ],
)
def test_the_mean_of_groups_holds_with_small_groups(sizes, rates):
    """With the pooled n alone coverage is 53 and 38 % where a large group stands beside small ones; with Wilson's
    limits of each group it is 89 % where tiny groups at 50 % stand beside groups at 1 %."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    items = np.arange(groups.size)
    rate_of = np.array(rates)[groups]
    assert _coverage(lambda random: (random.random(groups.size) < rate_of, groups, items), np.mean(rates)) >= 0.935


@pytest.mark.parametrize(
    ("alone", "groups", "size", "p"),
    [(1_000, 4, 10, 0.5), (300, 8, 15, 0.1), (0, 5, 40, 0.05)],
    ids=["few clusters", "rare", "all cross"],
)
def test_the_mean_of_groups_holds_where_clusters_cross_groups(alone, groups, size, p):
    """Each question stands in every group and its verdicts agree; beside them a group of single items. With each
    group's variance alone coverage is 64 and 72 %."""
    group = np.r_[np.tile(np.arange(groups), size), np.full(alone, groups)]
    cluster = np.r_[np.repeat(np.arange(size), groups), size + np.arange(alone)]
    assert _coverage(lambda random: ((random.random(size + alone) < p)[cluster], group, cluster), p, 400) >= 0.935


def test_groups_that_share_clusters_prove_no_more_than_one_of_them():
    """Also where nothing varies, so that nothing can be estimated."""
    copies, once = list(range(30)) * 4, list(range(120))
    groups = [i // 30 for i in range(120)]
    shared, apart = macro_rate([0] * 120, groups, copies), macro_rate([0] * 120, groups, once)
    assert shared.high == pytest.approx(clopper_pearson(0, 30).high) and apart.high < 0.6 * shared.high


def test_the_mean_of_groups_is_no_tighter_than_its_smallest_group_allows():
    groups = ["a"] * 2 + ["b"] * 500
    found = macro_rate([0] * 502, groups)
    assert found.value == 0 and found.high > wilson(0, 2).high / 2
    large = macro_rate([1, 0, 0, 0, 0] * 200, [i // 100 for i in range(1_000)])
    alone = rate([1, 0, 0, 0, 0] * 200)
    assert 1 <= (large.high - large.low) / (alone.high - alone.low) < 1.15


# --- pairs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gained", "lost", "n"), [(0, 0, 330), (0, 1, 330), (2, 9, 60), (0, 9, 32), (5, 5, 12), (6, 0, 6)]
)
def test_tango_is_the_score_test_turned_round(gained, lost, n):
    """The test's variance by numerical maximum likelihood over the share of lost items."""

    def score(d):
        def loss(q):
            shares = (q + d, q, 1 - 2 * q - d)
            return -sum(
                k * math.log(max(s, 1e-300))
                for k, s in zip((gained, lost, n - gained - lost), shares, strict=True)
                if k
            )

        best = optimize.minimize_scalar(
            loss, bounds=(max(0.0, -d), (1 - d) / 2), method="bounded", options={"xatol": 1e-12}
        ).x
        return (gained - lost - n * d) / math.sqrt(n * (2 * best + d - d * d))

    z, estimate = stats.norm.ppf(0.975), (gained - lost) / n
    low, high = tango(gained, lost, n)
    assert low <= estimate <= high
    for end, sign in ((low, 1), (high, -1)):
        if abs(end) < 1:
            assert sign * score(end) == pytest.approx(z, abs=2e-3)


@lru_cache
def _kept(n, margin, most):
    """For each number of gained items the largest number of lost ones at which less than `margin` was lost."""
    largest = []
    for gained in range(most):
        lost = largest[-1] if largest else -1
        while lost + 1 + gained <= n and non_inferior(tango(gained, lost + 1, n).low, margin):
            lost += 1
        largest.append(lost)
    return np.array(largest)


@pytest.mark.parametrize("gained", [0.0, 0.0025, 0.005, 0.01, 0.02, 0.05])
def test_false_preservation_at_330_items_is_below_three_per_cent(gained):
    """Exactly one point is lost, so "preserved" is false; the chance of it, summed over all outcomes."""
    n, margin = 330, 0.01
    b = np.arange(60)
    wrong = stats.binom.pmf(b, n, gained) * stats.binom.cdf(
        _kept(n, margin, 60), n - b, (gained + margin) / (1 - gained)
    )
    assert wrong.sum() < 0.03


@pytest.mark.parametrize("n", [100, 330, 1_000])
def test_one_more_lost_item_never_helps(n):
    for gained in (0, 1, 3):
        lows = [tango(gained, lost, n).low for lost in range(30)]
        assert (np.diff(lows) < 0).all()
    values = [
        paired_difference([1.0] * (n - lost) + [0.0] * lost, [1.0] * n, [i // 2 for i in range(n)]).cautious.low
        for lost in range(0, 24)
    ]
    assert (np.diff(values) < 0).all()


@pytest.mark.parametrize(("lost", "gained"), [(0.01, 0.0), (0.02, 0.01), (0.05, 0.0), (0.03, 0.03)])
def test_coverage_of_the_paired_interval_where_few_items_change(lost, gained):
    """Over all outcomes; the plain bootstrap covers 63 % at (0.01, 0)."""
    n, covered = 100, 0.0
    for b in range(20):
        for c in range(25):
            chance = stats.binom.pmf(b, n, gained) * stats.binom.pmf(c, n - b, lost / (1 - gained))
            if chance > 1e-7:
                low, high = tango(b, c, n)
                covered += chance * (low <= gained - lost <= high)
    assert covered >= 0.93


def test_the_interval_of_a_few_changed_clusters_is_not_the_bootstraps_alone():
    """A hundred clusters of two, one item lost: resampling sees nothing beyond what was lost."""
    few = paired_difference([1] * 199 + [0], [1] * 200, [i // 2 for i in range(200)])
    assert few.low < -0.015 and few.high > 0.01 and few.changed == 1
    many = paired_difference([1, 0] * 100, [0, 1] * 100, [i // 3 for i in range(200)])
    assert many.cautious.low < many.low < 0 < many.high < many.cautious.high


def test_coverage_of_differences_of_clusters_where_few_change():
    random, inside, runs = np.random.default_rng(0), 0, 400
    clusters = np.repeat(np.arange(60), 3).tolist()
    for _ in range(runs):
        change = random.random(60) < 0.05
        after = np.where(np.repeat(change, 3) & (random.random(180) < 0.8), 0.0, 1.0)
        found = paired_difference(after, [1.0] * 180, clusters, resamples=1_000)
        inside += found.low <= -0.04 <= found.high
    assert inside / runs >= 0.93


# --- many comparisons -----------------------------------------------------------------------------------------------


def test_rows_on_which_next_to_nothing_changed_take_no_power():
    """Nine of 32 lost beside seven rows with three changes at most: alone it decides. With 75 rows that might decide
    (five scorers, gaps and groups), it did not."""
    p = [mcnemar_p(9, 0)] + [mcnemar_p(0, 3)] * 7
    assert holm(p, [2.0**-8] + [0.25] * 7)[0] == p[0] < 0.05
    assert holm(p)[0] == pytest.approx(8 * p[0])
    assert holm([p[0]] * 75)[0] > 0.25
    with pytest.raises(InputError, match="smallest"):
        holm([0.01], [0.5])


@pytest.mark.parametrize("share", [0.05, 0.15, 0.4])
def test_holm_with_least_p_values_errs_at_most_at_its_level(share):
    """Eight rows of 30 items without any true difference: some row is called different in at most 5 % of the runs."""
    random, wrong, runs = np.random.default_rng(0), 0, 3_000
    table = {(b, m): mcnemar_p(b, m - b) for m in range(31) for b in range(m + 1)}
    for _ in range(runs):
        changed = random.binomial(30, share, 8)
        gained = random.binomial(changed, 0.5)
        p = [table[b, m] for b, m in zip(gained.tolist(), changed.tolist(), strict=True)]
        wrong += min(holm(p, [min(x, 2.0 ** (1 - m)) for x, m in zip(p, changed.tolist(), strict=True)])) < 0.05
    assert wrong / runs <= 0.05 + 0.008


def test_false_discoveries_stay_at_their_share():
    random, shares = np.random.default_rng(0), []
    for _ in range(800):
        p = np.r_[random.random(8), random.beta(0.1, 4, 4)]
        marked = np.array(benjamini_hochberg(p)) < 0.05
        shares.append(marked[:8].sum() / max(marked.sum(), 1))
    assert np.mean(shares) <= 0.05


# --- judges ---------------------------------------------------------------------------------------------------------


def test_no_event_by_a_judge_that_errs_leaves_what_an_errorless_one_leaves():
    """The naive interval, over draws of three binomials, is [0, 0]."""
    assert rogan_gladen(0, 100, 0.9, 100, 0.9, 100)[1:4] == (0, 0, clopper_pearson(0, 100).high)
    assert rogan_gladen(1, 100, 0.9, 100, 0.9, 100)[1:4] == (1, clopper_pearson(100, 100).low, 1)
    perfect = rogan_gladen(0.3, 200, 1.0, 50, 1.0, 50)
    assert perfect.low < clopper_pearson(60, 200).low and perfect.high > clopper_pearson(60, 200).high


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.99])
@pytest.mark.parametrize(("se", "sp", "pos", "neg", "n"), [(0.9, 0.9, 100, 100, 100), (0.97, 0.86, 270, 330, 600)])
def test_coverage_of_the_corrected_rate(p, se, sp, pos, neg, n):
    random, inside, runs = np.random.default_rng(0), 0, 400
    for run in range(runs):
        measured = random.binomial(pos, se) / pos, random.binomial(neg, sp) / neg
        observed = random.binomial(n, p * se + (1 - p) * (1 - sp)) / n
        found = rogan_gladen(observed, n, measured[0], pos, measured[1], neg, resamples=1_000, seed=run)
        inside += found.low <= p <= found.high
    assert inside / runs >= 0.93


def test_the_corrected_rate_respects_clusters():
    """Four answers to each of 40 prompts, alike within a prompt: as many items as they count, not as there are."""
    random, respected, ignored, runs = np.random.default_rng(0), 0, 0, 300
    for run in range(runs):
        harmful, labels = _clustered(random, 40, 4, 0.3, 2.0)
        seen = np.where(harmful == 1, random.random(160) < 0.95, random.random(160) < 0.05).astype(float)
        found = rate(seen, labels)
        for n in (effective_n(found.value, found.low, found.high), 160):
            made = rogan_gladen(found.value, n, 0.95, 1_000, 0.95, 1_000, resamples=1_000, seed=run)
            inside = made.low <= 0.3 <= made.high
            respected, ignored = (respected + inside, ignored) if n != 160 else (respected, ignored + inside)
    assert respected / runs >= 0.93 > 0.85 > ignored / runs


@pytest.mark.parametrize("misses", [False, True])
def test_a_few_labels_that_agree_are_no_proof_that_all_do(misses):
    """Thirty labels of a judge that is wrong on 3 %: in two runs of five none shows an error."""
    random, inside, runs = np.random.default_rng(0), 0, 400
    for _ in range(runs):
        truth = random.random(430) < 0.1
        wrong = random.random(430) < (0.3 if misses else 0.03 / 0.9)
        judged = (truth & ~wrong if misses else truth | wrong).astype(float)
        found = prediction_powered(judged[30:], judged[:30], truth[:30].astype(float))
        inside += found.low <= 0.1 <= found.high
    assert inside / runs >= 0.93


# --- planning and ranks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("discordant", "difference"), [(0.1, 0.05), (0.3, 0.1)])
def test_planned_pairs_have_the_power_they_promise(discordant, difference):
    """By the score test, over 3,000 runs of the planned size."""
    n = n_paired(discordant, difference)
    assert detectable_paired(n, discordant) == pytest.approx(difference, rel=0.01)
    random = np.random.default_rng(0)
    lost, gained = (discordant + difference) / 2, (discordant - difference) / 2
    draws = random.multinomial(n, [lost, gained, 1 - lost - gained], size=3_000)
    z = (draws[:, 0] - draws[:, 1]) / np.sqrt(draws[:, 0] + draws[:, 1])
    assert 0.77 <= (z > stats.norm.ppf(0.975)).mean() <= 0.83


def test_planned_samples_have_the_power_they_promise():
    n = n_unpaired(0.2, 0.1)
    random = np.random.default_rng(0)
    a, b = random.binomial(n, 0.2, 4_000) / n, random.binomial(n, 0.1, 4_000) / n
    pooled = (a + b) / 2
    assert 0.77 <= ((a - b) / np.sqrt(2 * pooled * (1 - pooled) / n) > stats.norm.ppf(0.975)).mean() <= 0.83


def test_the_span_of_ranks_holds_the_true_rank_of_near_ties():
    """Five models at 50 to 54 % of 200 items: the order of the values is noise, the spans must still hold."""
    random, truth, held = np.random.default_rng(0), [5, 4, 3, 2, 1], []
    for run in range(150):
        k = random.binomial(200, [0.50, 0.51, 0.52, 0.53, 0.54])
        ends = [wilson(int(x), 200) for x in k]
        ranks = rank_normal((k / 200).tolist(), [e.low for e in ends], [e.high for e in ends], resamples=800, seed=run)
        held += [r.low <= place <= r.high for r, place in zip(ranks, truth, strict=True)]
    assert np.mean(held) >= 0.95
