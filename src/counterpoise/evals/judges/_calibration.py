"""Stored calibrations, as far as correcting a rate needs them."""

import dataclasses
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, read_json, write_json

from ..stats import Confusion


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
