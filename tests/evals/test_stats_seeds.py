"""Rates and differences over items and seeds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.base import InputError
from counterpoise.evals.stats import paired_difference, rate, seeded_difference, seeded_rate

RUN = [1.0, 0.0, 1.0, None, 0.0, 1.0]


def test_one_seed_is_an_ordinary_rate():
    found, plain = seeded_rate([RUN]), rate(RUN)
    assert (found.value, found.low, found.high) == (plain.value, plain.low, plain.high)
    assert found.n_unscored == 1 and found.n_items == 5 and found.seeds == (plain.value,)


def test_one_seed_is_an_ordinary_difference():
    a, b = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0] * 5, [0.0, 0.0, 1.0, 0.0, 0.0, 1.0] * 5
    found, plain = seeded_difference([a], [b]), paired_difference(a, b)
    assert (found.value, found.low, found.high, found.p) == (plain.value, plain.low, plain.high, plain.p)


def test_seeds_that_differ_widen_the_interval_and_raise_p():
    calm = [[1.0] * 30 + [0.0] * 30] * 3
    wild = [[1.0] * n + [0.0] * (60 - n) for n in (10, 30, 50)]
    assert seeded_rate(calm).value == pytest.approx(seeded_rate(wild).value)
    assert seeded_rate(wild).high - seeded_rate(wild).low > 2 * (seeded_rate(calm).high - seeded_rate(calm).low)
    none = [[0.0] * 60]
    steady, shaky = seeded_difference(calm, none), seeded_difference(wild, none)
    assert steady.p < 0.001 < 0.05 < shaky.p and shaky.low < 0 < steady.low


def test_an_item_that_one_seed_could_not_score_counts_by_the_others():
    found = seeded_rate([[1.0, None, 0.0], [1.0, 1.0, None]])
    assert found.value == pytest.approx((1 + 1 + 0) / 3) and found.n_unscored == 2 and found.n_items == 3


def test_nothing_scored_is_no_number():
    assert seeded_rate([[None, None], [None, None]]).value is None
    assert seeded_difference([[None, 1.0]], [[1.0, None]]) is None
    assert seeded_difference([[1.0, 1.0]], [[0.0, 0.0]], ["a", "a"]) is None


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(InputError, match="give each the same items"):
        seeded_rate([[1.0], [1.0, 0.0]])
    with pytest.raises(InputError, match="match them by id"):
        seeded_difference([[1.0]], [[1.0, 0.0]])
    with pytest.raises(InputError, match="3 against 2 runs"):
        seeded_difference([[1.0, 0.0]] * 3, [[1.0, 0.0]] * 2)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=12, max_size=12), min_size=3, max_size=3))
def test_a_difference_turns_its_sign_with_its_sides(runs):
    other = [[1.0, 0.0] * 6]
    one, two = seeded_difference(runs, other), seeded_difference(other, runs)
    assert one.value == pytest.approx(-two.value) and one.low <= one.value <= one.high
    assert one.p == pytest.approx(two.p, abs=0.02)


@pytest.mark.parametrize("spread", [0.0, 0.08, 0.15])
def test_the_interval_holds_its_level_over_items_and_seeds(spread):
    """300 methods with 3 seeds each on 80 items, the seeds shifted with this standard deviation."""
    rng, inside = np.random.default_rng(1), 0
    for _ in range(300):
        easy = rng.beta(2, 3, 80)
        runs = [
            (rng.random(80) < np.clip(easy + shift, 0, 1)).astype(float).tolist() for shift in rng.normal(0, spread, 3)
        ]
        found = seeded_rate(runs)
        inside += found.low <= 0.4 <= found.high
    assert inside / 300 >= 0.93
