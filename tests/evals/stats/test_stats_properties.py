"""Properties on arbitrary data, coverage in simulation, and one-line errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.base import InputError
from counterpoise.evals.stats import (
    benjamini_hochberg,
    bounds,
    clopper_pearson,
    confusion,
    discrimination,
    holm,
    macro_rate,
    modality_gap,
    paired_difference,
    rate,
    wilson,
)
from counterpoise.evals.stats._cluster import standard_error

verdicts = st.lists(st.sampled_from([0, 1, 1, 0, None]), min_size=4, max_size=40).filter(
    lambda values: sum(value is not None for value in values) >= 3
)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_hold_the_rate_and_mirror(case):
    k, n = case
    for interval in (wilson, clopper_pearson):
        low, high = interval(k, n)
        mirror = interval(n - k, n)
        assert 0 <= low <= k / n <= high <= 1
        assert (low, high) == pytest.approx((1 - mirror.high, 1 - mirror.low), abs=1e-9)
    assert clopper_pearson(k, n, 0.9).low >= clopper_pearson(k, n, 0.99).low


@settings(deadline=None, max_examples=30)
@given(verdicts, st.randoms(use_true_random=False))
def test_order_of_items_does_not_matter(values, chance):
    n = len(values)
    families = [i // 2 for i in range(n)]
    other = [chance.choice([0, 1]) for _ in values]
    side = [i % 2 == 0 for i in range(n)]
    order = chance.sample(range(n), n)

    def shuffled(items):
        return [items[i] for i in order]

    def same(function, *arguments):
        first, second = function(*arguments), function(*map(shuffled, arguments))
        assert _numbers(first) == pytest.approx(_numbers(second), nan_ok=True)

    same(rate, values)
    same(rate, values, families)
    same(macro_rate, values, side)
    same(paired_difference, values, other)
    same(confusion, side, values)
    if any(values[i] is not None and values[i + 1] is not None for i in range(0, n - 1, 2)):
        complete = sum(values[i] is not None and values[i + 1] is not None for i in range(0, n - 1, 2))
        if complete >= 2:
            same(discrimination, values, side, families)
            same(modality_gap, values, side, families)


def _numbers(value):
    if isinstance(value, tuple):
        return [number for part in value for number in _numbers(part)]
    return [value] if isinstance(value, int | float) else []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values(p):
    strict, loose = holm(p), benjamini_hochberg(p)
    assert all(raw - 1e-12 <= b <= h + 1e-12 <= 1 + 2e-12 for raw, b, h in zip(p, loose, strict, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(strict)[order]) >= 0).all() and (np.diff(np.array(loose)[order]) >= 0).all()


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_bounds_hold_the_rate(successes, failures, unscored):
    if successes + failures:
        low, high = bounds(successes, successes + failures, unscored)
        assert low <= successes / (successes + failures) <= high


@pytest.mark.parametrize("p", [0.02, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("n", [100, 400])
def test_coverage_of_one_proportion(p, n):
    """Exact coverage by summing over all outcomes; Wilson near nominal, Clopper-Pearson never below."""
    from scipy.stats import binom

    weight = binom.pmf(np.arange(n + 1), n, p)
    for interval, low, high in ((wilson, 0.935, 0.975), (clopper_pearson, 0.95, 1)):
        inside = [a <= p <= b for a, b in (interval(k, n) for k in range(n + 1))]
        assert low <= float(weight @ inside) <= high


def test_average_coverage_of_wilson():
    """Single points scatter because counts are whole; over a grid of rates Wilson is within 1.5 points."""
    from scipy.stats import binom

    for n in (50, 250):
        ends = np.array([wilson(k, n) for k in range(n + 1)])
        grid = np.linspace(0.02, 0.98, 97)
        covered = [binom.pmf(np.arange(n + 1), n, p) @ ((ends[:, 0] <= p) & (p <= ends[:, 1])) for p in grid]
        assert abs(np.mean(covered) - 0.95) <= 0.015


def _clustered(random, groups, size, p, strength):
    rates = random.beta(p / strength, (1 - p) / strength, groups) if strength else np.full(groups, p)
    return (random.random((groups, size)) < rates[:, None]).astype(float).ravel(), np.repeat(np.arange(groups), size)


@pytest.mark.parametrize(("groups", "p", "strength"), [(60, 0.3, 0.5), (120, 0.1, 0.3), (40, 0.5, 1.0)])
def test_coverage_with_clusters(groups, p, strength):
    """Wilson with the effective n; 1,500 runs have a standard error of 0.6 points."""
    random = np.random.default_rng(0)
    runs, hits = 1_500, 0
    for _ in range(runs):
        low, high = rate(*_clustered(random, groups, 3, p, strength))[1:3]
        hits += low <= p <= high
    assert abs(hits / runs - 0.95) <= 0.015


def test_coverage_of_the_paired_difference():
    random, inside, runs = np.random.default_rng(0), 0, 600
    for _ in range(runs):
        a = random.random(200)
        before, after = (a < 0.5).astype(float), ((a < 0.4) | (random.random(200) < 0.1)).astype(float)
        truth = (0.4 + 0.6 * 0.1) - 0.5
        result = paired_difference(after, before, resamples=1_000)
        inside += result.low <= truth <= result.high
    assert 0.925 <= inside / runs <= 0.975


def test_pairing_narrows_when_items_agree():
    random = np.random.default_rng(3)
    for _ in range(20):
        hard = random.random(300)
        a, b = (hard < 0.4).astype(float), (hard + 0.1 * random.standard_normal(300) < 0.4).astype(float)
        paired = paired_difference(a, b)
        separate = 1.96 * np.hypot(*(standard_error(x, np.arange(300)) for x in (a, b)))
        assert paired.high - paired.low <= 2 * separate


def test_discrimination_and_gap():
    refused = [1, 0, 1, 1, 0, 0, 1, 0, None, 0]
    harmful = [True, False] * 5
    families = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    result = discrimination(refused, harmful, families)
    assert result.value == 0.5 and (result.n_scored, result.n_unscored) == (4, 1)
    assert result.bounds == pytest.approx((0.2, 0.6))
    blind = discrimination([1] * 8, [True, False] * 4, [0, 0, 1, 1, 2, 2, 3, 3])
    assert blind.value == 0 and blind.low < 0 < blind.high
    assert modality_gap([1, 1, 0, 1, 0, 0], [True, True, False] * 2, [0, 0, 0, 1, 1, 1]).value == 0.75


def test_paired_difference_is_fixed():
    random = np.random.default_rng(0)
    a, b = random.random(1_000), random.random(1_000)
    first = paired_difference(a, b)
    assert paired_difference(a, b) == first


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rate([]), "no items"),
        (lambda: rate([2.0]), "between 0 and 1"),
        (lambda: rate([1, 0], ["a"]), "1 labels for 2 items"),
        (lambda: wilson(3, 2), "between 0 and n"),
        (lambda: wilson(0, 0), "at least one"),
        (lambda: wilson(1, 2, 95), "confidence level"),
        (lambda: paired_difference([1, 0], [1, 1], ["a", "a"]), "one cluster only"),
        (lambda: paired_difference([None, 1], [1, None]), "none of 2 pairs"),
        (lambda: paired_difference([1], [1, 0]), "match them by id"),
        (lambda: discrimination([1, 0], [True, True], ["a", "b"]), "no family has items on both sides"),
        (lambda: holm([]), "none given"),
        (lambda: holm([1.5]), "between 0 and 1"),
    ],
)
def test_errors_are_one_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
