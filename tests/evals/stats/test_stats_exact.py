"""Against scipy, exhaustive enumeration and hand-worked vectors."""

import itertools

import numpy as np
import pytest
from scipy import stats

from counterpoise.evals.stats import (
    benjamini_hochberg,
    bounds,
    clopper_pearson,
    confusion,
    holm,
    macro_rate,
    mcnemar_p,
    non_inferior,
    paired_difference,
    prediction_powered,
    rate,
    wilson,
)
from counterpoise.evals.stats._paired import sign_flip_p
from counterpoise.evals.stats._special import beta_cdf, beta_quantile, t_quantile


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 3), (12, 2), (300, 1700), (0.5, 9.5)])
def test_beta_agrees_with_scipy(a, b):
    for x in (1e-6, 0.03, 0.4, 0.77, 0.999):
        assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), rel=1e-10, abs=1e-15)
    for p in (0.001, 0.025, 0.5, 0.975):
        assert beta_quantile(p, a, b) == pytest.approx(stats.beta.ppf(p, a, b), rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 7, 30, 400])
def test_t_agrees_with_scipy(freedom):
    for p in (0.01, 0.5, 0.9, 0.975):
        assert t_quantile(p, freedom) == pytest.approx(stats.t.ppf(p, freedom), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (3, 10), (0, 250), (250, 250), (77, 1319)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_intervals_agree_with_scipy(k, n, level):
    result = stats.binomtest(k, n)
    assert wilson(k, n, level) == pytest.approx(tuple(result.proportion_ci(level, "wilson")), abs=1e-9)
    assert clopper_pearson(k, n, level) == pytest.approx(tuple(result.proportion_ci(level, "exact")), abs=1e-9)


def test_mcnemar_by_exhaustive_enumeration():
    """All sign patterns of n discordant items, for every n up to 12."""
    for n in range(1, 13):
        sums = np.array([sum(signs) for signs in itertools.product((-1, 1), repeat=n)])
        for b in range(n + 1):
            seen = abs(n - 2 * b)
            exact = float((abs(sums) >= seen).mean())
            assert mcnemar_p(b, n - b) == pytest.approx(exact) == stats.binomtest(b, n).pvalue
            assert sign_flip_p(np.array([1.0] * b + [-1.0] * (n - b))) == pytest.approx(exact)


def test_holm_and_hochberg_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    p = np.random.default_rng(1).random(40) ** 3
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p).tolist())


def test_not_worse_needs_the_whole_interval():
    assert non_inferior(-0.009) and not non_inferior(-0.011) and not non_inferior(-0.01)


def test_copies_of_every_item_do_not_narrow_a_rate():
    values = [1, 0, 0, 0, 1, 0, 0, 0, 1, 1] * 4
    copied = rate(values * 3, list(range(40)) * 3)
    alone = rate(values)
    assert copied.value == alone.value
    assert copied.high - copied.low >= alone.high - alone.low
    assert copied.high - copied.low < 1.1 * (alone.high - alone.low)


def test_rate_counts_unscored_apart():
    result = rate([1, 0, None, 1])
    assert (result.n_scored, result.n_unscored, result.incomplete) == (3, 1, True)
    assert result.bounds == bounds(2, 3, 1) == (0.5, 0.75)
    nothing = rate([None, None])
    assert nothing[:3] == (None, None, None) and nothing.bounds == (0, 1)
    assert rate([0, 0, 0, 0], ["a", "a", "b", "b"]).high == wilson(0, 2).high


def test_macro_and_pooled_are_two_metrics():
    values, groups = [1, 0] + [0] * 98, ["a", "a"] + ["b"] * 98
    assert rate(values).value == 0.01 and macro_rate(values, groups).value == 0.25


def test_paired_difference_and_bounds():
    result = paired_difference([1, 0, 1, None], [0, 0, 0, 1])
    assert result.value == pytest.approx(2 / 3) and (result.n_scored, result.n_unscored) == (3, 1)
    assert result.bounds == (0.25, 0.5)


def test_equal_differences_still_have_an_interval():
    same = paired_difference([1] * 20, [1] * 20)
    assert same.value == 0 and same.p == 1
    z = stats.norm.ppf(0.975)
    assert same.high == pytest.approx(z * z / (20 + z * z)) == -same.low


def test_confusion_numbers():
    c = confusion([True, True, False, False, True], [1, 0, 1, 0, None])
    assert (c.tp, c.fp, c.tn, c.fn, c.n_unscored, c.n) == (1, 1, 1, 1, 1, 4)
    assert c.accuracy == c.precision == c.sensitivity == c.specificity == 0.5 and c.kappa == 0 and c.bias == 0


def test_prediction_powered_shifts_by_the_labelled_error():
    judge = [1, 0] * 50
    result = prediction_powered(judge, [1] * 10 + [0] * 10, [1] * 5 + [0] * 15)
    assert result.raw == 0.5 and result.value == pytest.approx(0.25) and result.low < 0.25 < result.high
