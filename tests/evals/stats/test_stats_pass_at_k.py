"""pass@k against its definition."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.base import InputError
from counterpoise.evals.scorers import METRICS
from counterpoise.evals.stats import pass_at_k


@settings(deadline=None)
@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_is_the_share_of_subsets_with_a_right_answer(given_numbers):
    n, correct, k = given_numbers
    answers = [True] * correct + [False] * (n - correct)
    subsets = list(itertools.combinations(answers, k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_known_values():
    assert pass_at_k(8, 3, 1) == 3 / 8 and pass_at_k(8, 1, 8) == 1.0 and pass_at_k(8, 0, 8) == 0.0
    assert pass_at_k(10, 2, 3) == pytest.approx(1 - 56 / 120)


@pytest.mark.parametrize(("n", "correct", "k"), [(4, 2, 5), (4, 5, 1), (4, -1, 1), (4, 2, 0)])
def test_impossible_numbers(n, correct, k):
    with pytest.raises(InputError, match="expected 1 <= k <= n"):
        pass_at_k(n, correct, k)


def test_the_metric_is_any_of_eight_and_unscored_is_never_wrong():
    combine = METRICS["pass_at_8"].combine
    assert combine([0.0] * 7 + [1.0]) == 1.0 and combine([0.0] * 8) == 0.0
    assert combine([1.0, None, *[0.0] * 6]) == 1.0  # one is right, whatever the unscored one was
    assert combine([0.0] * 7 + [None]) is None
    assert combine([0.0] * 9 + [1.0]) == pytest.approx(0.8)
    assert combine([0.0] * 8 + [1.0, None]) == pytest.approx(8 / 9)
    assert combine([1.0] * 3) is None  # three answers were never eight
