"""Rates corrected for a judge's measured error, to stand beside the raw ones and never alone."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, Row, read_json, write_json

from ..stats import Confusion, effective_n, rogan_gladen

WARNING = "error rates were measured on other models' answers and may not transfer"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A stored calibration, as far as correcting a rate and showing a judge's errors need it."""

    judge: str
    labels: str
    about: str
    sides: dict[str, Confusion]
    worth: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """By side: how many independent positives and negatives the cases are worth; fewer than there are where they
    cluster. A side that is not in it is worth its cases."""

    def side(self, harmful: bool) -> str:
        """The side whose errors count for such prompts; `all` where the labels do not tell prompts apart."""
        return ("harmful" if harmful else "harmless") if self.sides.keys() & {"harmful", "harmless"} else "all"


def save_calibration(path: Path, value: dict[str, Any]) -> None:
    write_json(path, value)


def load_calibration(path: Path) -> Calibration:
    """Read what `save_calibration` wrote. Raises InputError when a part is missing."""
    value = read_json(path)
    try:
        sides = {
            name: Confusion(**part["confusion"], n_unscored=part["n_unscored"]) for name, part in value["sides"].items()
        }
        worth = {
            name: (_worth(part["sensitivity"]), _worth(part["specificity"])) for name, part in value["sides"].items()
        }
        return Calibration(value["judge"], value["labels"]["name"], value["labels"]["about"], sides, worth)
    except (KeyError, TypeError, AttributeError, InputError) as error:
        raise InputError(
            f"{path}: no calibration of a judge ({error}); make one with counterpoise judge calibrate"
        ) from error


def _worth(share: dict[str, Any]) -> float:
    """How many independent cases the interval of a share says that they are."""
    if share["value"] is None:
        return 0.0
    return float(min(effective_n(share["value"], share["low"], share["high"]), share["n"]))


def corrected(rows: Sequence[Row], calibration: Calibration) -> list[dict[str, Any]]:
    """For every `asr` and `over_refusal` row of the calibrated judge: raw rate, corrected rate and 95 % interval.

    Rogan-Gladen with the errors on the row's side (harmful prompts for `asr`). `asr` of a refusal judge counts what is
    not refused, so there sensitivity and specificity change places. Clusters count through the intervals of the row and
    of the calibration, which are Wilson's with the effective number of items (`effective_n`). A row gets a reason
    instead of numbers where the judge carries too little information, where the labels have nothing of the row's side,
    or say harm while the row counts refusals. Raises InputError when no row is of this judge.
    """
    kept = [row for row in rows if row.scorer == calibration.judge and row.metric in ("asr", "over_refusal")]
    if not kept:
        raise InputError(
            f"no asr or over_refusal row is scored by {calibration.judge}, which this calibration measured"
        )
    return [_one(row, calibration) for row in kept]


def _one(row: Row, calibration: Calibration) -> dict[str, Any]:
    made: dict[str, Any] = {
        "benchmark": row.benchmark,
        "modality": row.modality,
        "split": row.split,
        "metric": row.metric,
        "scorer": row.scorer,
        "calibrated_on": calibration.labels,
        "raw": {"value": row.value, "low": row.ci_low, "high": row.ci_high, "n": row.n_scored},
    }
    if row.value is None:
        return made | {"corrected": None, "reason": "nothing was scored"}
    harmful = row.metric == "asr"
    if not harmful and calibration.about == "harm":
        reason = "over-refusal counts refusals, and these labels say what is harmful; calibrate on labels of refusals"
        return made | {"corrected": None, "reason": reason}
    side = calibration.side(harmful)
    table = calibration.sides.get(side)
    if table is None or not table.tp + table.fn or not table.tn + table.fp:
        reason = f"the labels have not both outcomes on {side} prompts; calibrate on labels that do"
        return made | {"corrected": None, "reason": reason}
    n_pos, n_neg = calibration.worth.get(side, (table.tp + table.fn, table.tn + table.fp))
    sensitivity, specificity = table.sensitivity, table.specificity
    if harmful and calibration.about == "refusal":
        sensitivity, specificity, n_pos, n_neg = specificity, sensitivity, n_neg, n_pos
    try:
        found = rogan_gladen(row.value, _items(row), sensitivity, n_pos, specificity, n_neg)
    except InputError as error:
        return made | {"corrected": None, "reason": str(error)}
    numbers = {"value": found.value, "low": found.low, "high": found.high, "se": found.se}
    return made | {"corrected": numbers, "warning": WARNING}


def _items(row: Row) -> float:
    """How many independent items the row is worth."""
    if row.value is None or row.ci_low is None or row.ci_high is None:
        return row.n_scored
    return min(effective_n(row.value, row.ci_low, row.ci_high), row.n_scored)
