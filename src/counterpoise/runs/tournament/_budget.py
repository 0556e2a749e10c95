"""From a budget to each arm's rows. A method takes one through its knob `amount`: training rows altogether."""

from collections.abc import Callable, Mapping

from counterpoise.base import InputError
from counterpoise.methods import Method

from .._config import RunConfig
from .._stages import Stages
from ._config import ArmConfig, Budget

KNOB = "amount"
PILOT = 24
"""Rows of the training that a budget in minutes is measured on."""


def takes_rows(method: Method) -> bool:
    """Whether the method has the knob that a budget turns."""
    return any(knob.name == KNOB and knob.unit == "rows" for knob in method.knobs)


def rows_of(work: Stages, run: RunConfig, method: Method, chosen: Mapping[str, float]) -> int:
    """The rows that a run of a method trains on at a dose, by its own count; the dose itself where it has none."""
    return method.size(work.settings(run, chosen)).rows if method.size else int(chosen[KNOB])


def dose(
    method: Method,
    arm: ArmConfig,
    budget: Budget,
    pace: Callable[[], float],
    counted: Callable[[Mapping[str, float]], int],
) -> Mapping[str, float]:
    """The largest dose that keeps an arm within the budget, by the method's own count of all rows it trains on; empty
    where there is no budget, or where the method trains on no rows (the page says so).

    Args:
        pace: trains about `PILOT` rows and returns seconds per row; called for minutes only.
        counted: the rows of a training at a dose.

    Raises InputError when the arm's own settings name the number of rows as well.
    """
    if (budget.rows is None and budget.minutes is None) or not takes_rows(method):
        return {}
    knob = method.knob(KNOB)
    given = sorted(set(knob.settings(PILOT)) & set(arm.settings))
    if given:
        raise InputError(
            f"arm {arm.name}: sets {given[0]}, which the budget of {budget} decides; leave out one of them"
        )
    wanted = budget.rows if budget.rows is not None else max(1, int(60 * (budget.minutes or 0) / max(pace(), 1e-9)))
    low, high = 1, wanted
    while low < high:  # more of the knob is never fewer rows
        middle = (low + high + 1) // 2
        low, high = (middle, high) if counted({KNOB: middle}) <= wanted else (low, middle - 1)
    return {KNOB: low}
