"""Controllers of the multiplier: direction, cap, delay, window, and what a checkpoint keeps."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from counterpoise.methods.safe_rlhf._control import Multiplier, MultiplierConfig

KINDS = ("log", "projected", "pid")
kinds = st.sampled_from(KINDS)
costs = st.lists(st.floats(-5, 5), min_size=1, max_size=6)


def made(kind: Any, **settings: Any) -> Multiplier:
    return Multiplier(MultiplierConfig(kind=kind, **settings))


@settings(deadline=None)
@given(kind=kinds, init=st.floats(0.1, 15), cost=st.floats(-5, 5), budget=st.floats(-1, 1))
def test_it_rises_exactly_when_the_cost_is_above_the_budget(kind: Any, init: float, cost: float, budget: float) -> None:
    one = made(kind, init=init, budget=budget, delay=0)
    after = one.update([cost])
    over = cost - budget
    assert 0 <= after <= 20
    if over > 1e-6:
        assert after > init or after == 20
    elif over < -1e-6:
        assert after < init
    else:
        assert after == pytest.approx(init, abs=1e-4)


@settings(deadline=None)
@given(kind=kinds, low=st.floats(-5, 5), more=st.floats(0, 5), past=costs)
def test_a_higher_cost_never_gives_a_lower_multiplier(kind: Any, low: float, more: float, past: Any) -> None:
    pair = [made(kind, delay=0, window=2) for _ in range(2)]
    for each in pair:
        for cost in past:
            each.update([cost])
    assert pair[0].update([low]) <= pair[1].update([low + more]) + 1e-12


@settings(deadline=None)
@given(kind=kinds, rows=st.lists(costs, min_size=1, max_size=8), delay=st.integers(0, 4))
def test_it_never_moves_before_the_delay_nor_past_the_cap(kind: Any, rows: Any, delay: int) -> None:
    one = made(kind, init=2.0, cap=3.0, delay=delay, rate=5.0, integral=5.0)
    for number, row in enumerate(rows):
        value = one.update(row)
        assert value <= 3.0
        if number < delay:
            assert value == 2.0


@settings(deadline=None)
@given(init=st.floats(0.1, 15), cost=st.floats(-3, 1))
def test_the_log_controller_is_the_released_update(init: float, cost: float) -> None:
    one = made("log", init=init, rate=0.1, budget=-0.5, delay=0, cap=1e6)
    assert one.update([cost]) == pytest.approx(max(1e-4, init * math.exp(0.1 * init * (cost + 0.5))), rel=1e-9)


def test_the_projected_update_by_hand() -> None:
    one = made("projected", init=1.0, rate=0.5, budget=-0.5, delay=0, window=1)
    assert [one.update([c]) for c in (0.5, -0.5, -4.5)] == [1.5, 1.5, 0.0]


def test_the_pid_update_by_hand() -> None:
    pid = {"proportional": 0.1, "integral": 0.01, "derivative": 0.0, "smooth": 0.0, "init": 0.0, "window": 1}
    one = made("pid", delay=0, **pid)
    assert one.update([10.0]) == pytest.approx(1.1) and one.update([-10.0]) == pytest.approx(0.0)


def test_the_first_cost_is_no_rise_for_a_pid() -> None:
    pid = {"proportional": 0.0, "integral": 0.0, "derivative": 1.0, "smooth": 0.0, "init": 0.0, "window": 1, "lag": 2}
    one = made("pid", delay=0, **pid)
    assert [one.update([c]) for c in (8.0, 9.0, 11.0, 11.0, 11.0, 2.0)] == [0.0, 1.0, 3.0, 2.0, 0.0, 0.0]


def test_the_mean_is_that_of_the_last_episodes() -> None:
    one = made("projected", window=3)
    assert math.isnan(one.mean_cost)
    one.update([9.0, 1.0])
    one.update([2.0, 3.0])
    assert one.mean_cost == 2.0


def test_the_log_controller_recovers_from_a_long_time_below_the_budget() -> None:
    one = made("log", delay=0, window=1, rate=5.0)
    for _ in range(2000):
        one.update([-5.0])
    assert one.value == pytest.approx(1e-4)
    assert one.update([5.0]) > 1e-4


def test_a_fixed_multiplier_stays() -> None:
    one = made("fixed", init=0.0, delay=0)
    assert one.update([9.0]) == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_multiplier_goes_on_in_the_same_way(kind: Any) -> None:
    one = made(kind, window=3)
    for cost in (1.0, -0.3, 0.7):
        one.update([cost])
    other = made(kind, window=3)
    other.restore(json.loads(json.dumps(one.state())))
    assert [other.update([c]) for c in (0.4, 2.0)] == [one.update([c]) for c in (0.4, 2.0)]


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="above cap"):
        MultiplierConfig(init=30)
    with pytest.raises(ValidationError, match="must start at"):
        MultiplierConfig(init=0)
