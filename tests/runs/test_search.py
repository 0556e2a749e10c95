"""The dose search against brute force, on curves it may and may not assume anything about."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.base import InputError
from counterpoise.methods import FRACTIONS, Scale
from counterpoise.report import Estimate
from counterpoise.runs import Grid, excess, parse_target, search

FRACTION, AMOUNT = Scale("fraction", "rejection rows", "share"), Scale("amount", "rows of the mix", "rows")
LIMITS = parse_target("asr<=0.1, over_refusal<=0.1, capability_drop<=0.1")
value = st.floats(0, 1, allow_nan=False)


def around(asr: float, over: float = 0.0, drop: float = 0.0, half: float = 0.0) -> dict[str, Estimate]:
    numbers = {"asr": asr, "over_refusal": over, "capability_drop": drop}
    return {name: Estimate(v, v - half, v + half, 100) for name, v in numbers.items()}


def run(curve, amounts=(7000,), limits=LIMITS, fractions=FRACTIONS):
    calls = []

    def measure(dose):
        calls.append((dose["fraction"], dose["amount"]))
        return curve(*calls[-1])

    return search((Grid(FRACTION, fractions), Grid(AMOUNT, amounts)), measure, limits), calls


@given(st.lists(value, min_size=1, max_size=12), st.lists(value, min_size=12, max_size=12))
def test_on_monotone_curves_it_is_brute_force_with_few_trainings(falling, rising):
    falling, rising = sorted(falling, reverse=True), sorted(rising)
    grid = tuple((i + 1) / 20 for i in range(len(falling)))
    found, calls = run(lambda f, _: around(falling[grid.index(f)], rising[grid.index(f)]), fractions=grid)
    right = [f for i, f in enumerate(grid) if falling[i] <= 0.1 and rising[i] <= 0.1]
    assert (found.chosen.dose["fraction"] if found.chosen else None) == (right[0] if right else None)
    assert len(calls) <= math.ceil(math.log2(len(grid) + 1)) + 1
    assert len(calls) == len(set(calls)) == len(found.points)


@settings(max_examples=200)
@given(st.lists(st.tuples(value, value, value), min_size=6, max_size=6), st.sampled_from([(7000,), (1000, 3000, 7000)]))
def test_on_any_curve_the_choice_was_measured_and_meets_everything(curve, amounts):
    found, calls = run(lambda f, _: around(*curve[FRACTIONS.index(f)], half=0.01), amounts)
    if found.chosen:
        assert (found.chosen.dose["fraction"], found.chosen.dose["amount"]) in calls
        assert excess(found.chosen, LIMITS) == {}
        less = found.chosen.dose["fraction"]
        smaller = [p for p in found.points if p.dose["fraction"] < less and p.dose["amount"] == amounts[-1]]
        assert all(excess(p, LIMITS) for p in smaller)
    else:
        assert all(excess(p, LIMITS) for p in found.points)
        assert found.message.startswith("No measured dose meets every target")


def test_the_interval_counts_not_the_estimate():
    found, _ = run(lambda f, _: around(0.09, half=0.02))
    assert found.chosen is None and "upper end of 11.0%" in found.message


def test_a_curve_that_rises_is_not_bisected():
    asr = dict(zip(FRACTIONS, (0.05, 0.3, 0.4, 0.6, 0.8, 0.9), strict=True))
    found, calls = run(lambda f, _: around(asr[f], half=0.01))
    assert len(calls) == 6 and found.chosen.dose["fraction"] == FRACTIONS[0]


def test_over_refusal_stops_the_climb_as_soon_as_it_grows():
    over = dict(zip(FRACTIONS, (0.2, 0.3, 0.4, 0.5, 0.6, 0.7), strict=True))
    found, calls = run(lambda f, _: around(0.0, over[f]))
    assert found.chosen is None and len(calls) == 3
    assert "over_refusal" in found.message and "asr" not in found.message.split("misses")[1]


def test_a_capability_dip_is_climbed_over():
    drop = dict(zip(FRACTIONS, (0.3, 0.2, 0.05, 0.05, 0.05, 0.05), strict=True))
    found, _ = run(lambda f, _: around(0.0, 0.0, drop[f]))
    assert found.chosen.dose["fraction"] == FRACTIONS[2]


def test_the_amount_is_lowered_last():
    found, calls = run(lambda f, n: around(0.0 if f >= 0.05 and n >= 2000 else 0.5), (500, 2000, 7000))
    assert (found.chosen.dose["fraction"], found.chosen.dose["amount"]) == (0.05, 2000)
    assert calls[-1] == (0.05, 500)


def test_bad_grids_and_no_target_are_one_line():
    for grid, amounts in (((0.5, 0.1), (7,)), ((), (7,)), ((0.1,), (7, 7))):
        with pytest.raises(InputError, match="weakest to the strongest without repeats"):
            run(lambda f, n: around(0), amounts, fractions=grid)
    with pytest.raises(InputError, match="no target"):
        run(lambda f, n: around(0), limits=())
    with pytest.raises(InputError, match="no knob"):
        search((), lambda dose: around(0), LIMITS)


def test_a_falling_knob_is_searched_from_its_largest_value():
    """A penalty that holds the model back: the weakest dose is the largest value."""
    beta, calls = Scale("beta", "penalty", "number", "falling"), []

    def measure(dose):
        calls.append(dose["beta"])
        return around(0.05 if dose["beta"] <= 0.2 else 0.6)

    found = search((Grid(beta, (0.8, 0.4, 0.2, 0.1)),), measure, LIMITS)
    assert found.chosen.dose == {"beta": 0.2} and len(calls) <= 3
    assert found.message.startswith("beta 0.2 is the smallest measured dose")
    with pytest.raises(InputError, match="weakest to the strongest"):
        search((Grid(beta, (0.1, 0.8)),), measure, LIMITS)


def test_further_knobs_are_lowered_one_after_the_other():
    knobs = [Scale(name, name) for name in ("rate", "rows", "epochs")]
    grids = [Grid(knobs[0], (1, 2)), Grid(knobs[1], (10, 20, 30)), Grid(knobs[2], (1, 2))]

    def measure(dose):
        return around(0.0 if dose["rate"] >= 1 and dose["rows"] >= 20 and dose["epochs"] >= 1 else 0.5)

    assert search(grids, measure, LIMITS).chosen.dose == {"rate": 1, "rows": 20, "epochs": 1}
