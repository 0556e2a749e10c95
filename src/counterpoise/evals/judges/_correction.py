"""Rates corrected for a judge's measured error, to stand beside the raw ones and never alone."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, Row, read_json, write_json

from ..stats import Confusion, rogan_gladen

WARNING = "error rates were measured on other models' answers and may not transfer"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A stored calibration, as far as correcting a rate needs it."""

    judge: str
    labels: str
    about: str
    sides: dict[str, Confusion]

    def side(self, harmful: bool | None) -> Confusion:
        """Errors on harmful or harmless prompts, or on all where the labels do not tell them apart."""
        name = {True: "harmful", False: "harmless", None: "all"}[harmful]
        return self.sides.get(name, self.sides["all"])


def save_calibration(path: Path, value: dict[str, Any]) -> None:
    write_json(path, value)


def load_calibration(path: Path) -> Calibration:
    """Read what `save_calibration` wrote. Raises InputError when a part is missing."""
    value = read_json(path)
    try:
        sides = {
            name: Confusion(**part["confusion"], n_unscored=part["n_unscored"]) for name, part in value["sides"].items()
        }
        return Calibration(value["judge"], value["labels"]["name"], value["labels"]["about"], sides)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: no calibration of a judge ({error}); make one with counterpoise judge calibrate"
        ) from error


def corrected(rows: Sequence[Row], calibration: Calibration) -> list[dict[str, Any]]:
    """For every `asr` and `over_refusal` row of the calibrated judge: raw rate, corrected rate and 95 % interval.

    Rogan-Gladen with the errors on the row's side (harmful prompts for `asr`). `asr` of a refusal judge counts what is
    not refused, so there sensitivity and specificity change places. A row whose judge carries too little information
    gets a reason instead of numbers. Raises InputError when no row is of this judge.
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
    table = calibration.side(harmful)
    sensitivity, specificity = table.sensitivity, table.specificity
    n_pos, n_neg = table.tp + table.fn, table.tn + table.fp
    if harmful and calibration.about == "refusal":
        sensitivity, specificity, n_pos, n_neg = specificity, sensitivity, n_neg, n_pos
    try:
        found = rogan_gladen(row.value, row.n_scored, sensitivity, n_pos, specificity, n_neg)
    except InputError as error:
        return made | {"corrected": None, "reason": str(error)}
    numbers = {"value": found.value, "low": found.low, "high": found.high, "se": found.se}
    return made | {"corrected": numbers, "warning": WARNING}
