"""From a budget to each arm's rows. A method takes one through its knob `amount`: training rows altogether."""

from collections.abc import Callable, Mapping

from counterpoise.base import InputError
from counterpoise.methods import Method

from ._config import ArmConfig, Budget

KNOB = "amount"
PILOT = 24
"""Rows of the training that a budget in minutes is measured on."""


def takes_rows(method: Method) -> bool:
    """Whether the method has the knob that a budget turns."""
    return any(knob.name == KNOB and knob.unit == "rows" for knob in method.knobs)


def dose(method: Method, arm: ArmConfig, budget: Budget, pace: Callable[[], float]) -> Mapping[str, float]:
    """The dose that keeps an arm within the budget; empty where there is none, or where the method trains on no rows
    (the page says so). `pace` trains `PILOT` rows and returns seconds per row; it is called for minutes only.

    Raises InputError when the arm's own settings name the number of rows as well.
    """
    if (budget.rows is None and budget.minutes is None) or not takes_rows(method):
        return {}
    knob = method.knob(KNOB)
    if set(knob.settings(PILOT)) & set(arm.settings):
        given = next(iter(set(knob.settings(PILOT)) & set(arm.settings)))
        raise InputError(f"arm {arm.name}: sets {given}, which the budget of {budget} decides; leave out one of them")
    if budget.rows is not None:
        return {KNOB: budget.rows}
    return {KNOB: max(1, int(60 * (budget.minutes or 0) / max(pace(), 1e-9)))}
