"""Steps a to c against the table of equivalents, M, and the AND/OR logic by brute force."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.base import InputError
from counterpoise.guard.clue import Constants, all_of, any_of, decide, yes_share

unit = st.floats(0, 1)
GRID = [n / 20 for n in range(21)]


def by_the_paper(m_x: float, m_0: float, m_removed: float | None) -> str:
    """The paper's own form, with alpha1 = -0.3 M0, alpha2 = 0.8 (1 - M0) and beta = 0.6."""
    if m_x - m_0 < -0.3 * m_0:
        return "no"
    if m_x - m_0 > 0.8 * (1 - m_0):
        return "yes"
    if m_removed is not None and m_x - m_removed > 0.6:
        return "yes"
    return "reason"


def test_equals_the_paper_on_a_grid():
    for m_x, m_0, removed in itertools.product(GRID, GRID, [None, *GRID]):
        near = (m_x - 0.7 * m_0, m_x - (0.8 + 0.2 * m_0), m_x - (removed or 0) - 0.6)
        if min(map(abs, near)) > 1e-9:  # on the very boundary rounding decides
            assert decide(m_x, m_0, removed).decision == by_the_paper(m_x, m_0, removed), (m_x, m_0, removed)


@settings(deadline=None)
@given(unit, unit)
def test_extreme_priors(m_x, removed):
    at_zero, at_one = decide(m_x, 0.0, None), decide(m_x, 1.0, None)
    assert at_zero.decision != "no" and (at_zero.decision == "yes") == (m_x > 0.8)
    assert at_one.path != "b" and (at_one.decision == "no") == (m_x < 0.7)
    assert decide(m_x, 1.0, removed).path in "acd"


def test_paths_are_named():
    assert decide(0.1, 0.9) == ("no", "a")
    assert decide(0.95, 0.1) == ("yes", "b")
    assert decide(0.75, 0.4, 0.1) == ("yes", "c")
    assert decide(0.5, 0.5, 0.4) == ("reason", "d")


@settings(deadline=None)
@given(unit, unit, unit)
def test_what_is_not_known_decides_nothing(m_x, m_0, removed):
    assert decide(None, m_0, removed) == ("reason", "d")
    assert decide(m_x, None, None) == ("reason", "d")
    assert decide(m_x, None, removed).path in "cd"


@settings(deadline=None)
@given(st.lists(st.floats(-20, 0), min_size=1, max_size=6), st.lists(st.floats(-20, 0), min_size=1, max_size=6), unit)
def test_m_is_a_share_and_shifts_and_swaps_as_it_must(yes, no, shift):
    m, mass = yes_share(yes, no)
    assert 0 <= m <= 1 and 0 <= mass <= 1
    moved, _ = yes_share([v - 30 * shift for v in yes], [v - 30 * shift for v in no])
    assert moved == pytest.approx(m, abs=1e-9)
    assert yes_share(no, yes)[0] == pytest.approx(1 - m, abs=1e-9)


def test_no_mass_at_all():
    assert yes_share([-math.inf], [-math.inf]) == (0.5, 0.0)
    m, mass = yes_share([-1000.0], [-1001.0])  # far below what exp can tell from 0
    assert m == pytest.approx(1 / (1 + math.exp(-1))) and mass == 0.0


@pytest.mark.parametrize("shape", [s for n in range(1, 7) for s in [(1,) * n]] + [(2, 1, 3), (3, 3), (1, 2, 2, 1)])
def test_and_or_by_brute_force(shape):
    for truth in itertools.product([True, False], repeat=sum(shape)):
        flags = iter(truth)
        groups = [[next(flags) for _ in range(size)] for size in shape]
        said = all_of([any_of(["yes" if flag else "no" for flag in group]) for group in groups])
        assert said == ("yes" if all(any(group) for group in groups) else "no")


@settings(deadline=None)
@given(st.lists(st.sampled_from(["yes", "no", "unknown"]), min_size=1, max_size=6))
def test_unknown_stays_unless_the_rest_decides(answers):
    """Three-valued: the answer is unknown exactly when the open ones could still tip it."""
    worlds = [
        [("yes" if next(flags) else "no") if a == "unknown" else a for a in answers]
        for flags in map(iter, itertools.product([True, False], repeat=answers.count("unknown")))
    ]
    for combine in (any_of, all_of):
        outcomes = {combine(world) for world in worlds}
        assert combine(answers) == (outcomes.pop() if len(outcomes) == 1 else "unknown")


def test_bad_values():
    with pytest.raises(InputError, match="M = 1.2: must lie between 0 and 1"):
        decide(1.2, 0.5)
    with pytest.raises(InputError, match="shown 8: must lie"):
        Constants(shown=8)
