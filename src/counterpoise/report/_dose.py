"""What a dose search found: plain values that the report draws and `dose.json` keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from counterpoise.base import InputError, read_json, write_json
from counterpoise.methods import Scale

VERSION = 2
"""Of `dose.json`. Version 1 knew one method: every point had a `fraction` and an `amount`."""
FIRST = (Scale("fraction", "rejection rows", "share"), Scale("amount", "rows of the mix", "rows"))
"""The knobs that a file of version 1 speaks of."""


class Estimate(NamedTuple):
    """A value with its 95 % interval and the number of items behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class DosePoint:
    """One training: the dose, and what was measured afterwards."""

    dose: Mapping[str, float]
    """Value by name of knob; empty for the model before any training."""
    estimates: Mapping[str, Estimate]
    """By target name, e.g. {"asr": ..., "over_refusal": ..., "capability_drop": ...}."""
    split: str = "validation"
    seed: int = 0


@dataclass(frozen=True)
class DoseCurve:
    """All points of a search, the targets, and the dose that was chosen (None: no dose met them)."""

    points: tuple[DosePoint, ...]
    targets: Mapping[str, float]
    chosen: DosePoint | None = None
    confirmed: DosePoint | None = None
    """The chosen dose measured once on the test half, which the search never looked at."""
    message: str = ""
    trainings: int = field(default=0)
    knobs: tuple[Scale, ...] = FIRST
    """The method's knobs: the first was bisected."""

    def save(self, path: Path) -> None:
        """Write `dose.json`, atomically."""
        write_json(path, {"version": VERSION} | asdict(self))

    def in_order(self, name: str) -> list[DosePoint]:
        """Points that have this estimate: the model before any training, then from the weakest dose to the strongest
        (by the first knob, then by the others)."""
        found = [point for point in self.points if name in point.estimates]
        return sorted(found, key=lambda point: [knob.key(point.dose[knob.name]) for knob in self.knobs if point.dose])


def say_dose(knobs: Sequence[Scale], dose: Mapping[str, float]) -> str:
    """`fraction 20.0%, amount 7,000 rows`; `no training` for the model before any."""
    return ", ".join(f"{knob.name} {knob.say(dose[knob.name])}" for knob in knobs if knob.name in dose) or "no training"


def load_curve(path: Path) -> DoseCurve:
    """Read `dose.json`, of this version or an earlier one. Raises InputError when the file is not what
    `DoseCurve.save` wrote."""
    value = read_json(path)
    try:
        version = value.get("version", 1)
        if version > VERSION:
            raise InputError(f"{path}: version {version} of a newer counterpoise; upgrade, or delete it")
        return DoseCurve(
            points=tuple(_point(item) for item in value["points"]),
            targets=dict(value["targets"]),
            chosen=_point(value["chosen"]) if value["chosen"] else None,
            confirmed=_point(value["confirmed"]) if value["confirmed"] else None,
            message=value["message"],
            trainings=value["trainings"],
            knobs=tuple(Scale(**knob) for knob in value["knobs"]) if version > 1 else FIRST,
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a dose file ({error}); delete it to search again") from error


def _point(value: dict[str, Any]) -> DosePoint:
    estimates = {name: Estimate(*numbers) for name, numbers in value["estimates"].items()}
    if "dose" not in value:  # version 1, where amount 0 was the model before any training
        dose = {"fraction": value["fraction"], "amount": value["amount"]} if value["amount"] else {}
    else:
        dose = value["dose"]
    return DosePoint(dose, estimates, value["split"], value["seed"])
