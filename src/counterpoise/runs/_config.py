"""The configuration of the main job: one frozen object for the command line, YAML and `run.json`."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from counterpoise.base import InputError


class RunConfig(BaseModel):
    """What `counterpoise run` does. Every field has a default, so `RunConfig()` is the main job on the pocket VLM."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = Field("pocket", description="Name, hub id or folder of the vision-language model.")
    suite: str = Field("core", description="Which benchmarks to measure with: smoke, core or full.")
    method: str = Field("rejection-mix", description="Which published method corrects the model.")
    target: str | None = Field(None, description="Limits to meet; with them the smallest sufficient dose is searched.")
    out: Path = Field(Path("runs/main"), description="Folder of the run.")
    seed: int = Field(0, ge=0, description="Seed of the data draw and of training.")
    limit: int | None = Field(None, ge=1, description="At most so many items per benchmark.")
    batch: int = Field(64, ge=1, description="Conversations per batch of generation.")
    max_new_tokens: int | None = Field(None, ge=1, description="Longest answer; None: each benchmark's own limit.")
    device_map: str | None = Field(None, description="How a model larger than one device is spread; None: it is not.")
    settings: dict[str, Any] = Field({}, description="Settings of the method and its training, by dotted name.")
    dose: dict[str, float] = Field({}, description="Values of the method's knobs; others keep the method's default.")
    grids: dict[str, tuple[float, ...]] = Field({}, description="Values that a dose search tries, by name of knob.")

    @property
    def identity(self) -> dict[str, Any]:
        """What must not change when a run is continued: all fields but where and how fast it is computed."""
        return self.model_dump(mode="json", exclude={"out", "batch", "device_map"})


def run_config(settings: Mapping[str, Any] | None = None, **fields: Any) -> RunConfig:
    """Build a RunConfig. Raises one InputError that names every wrong field.

    A seed among the `settings` is the run's; a field `seed` of None is as if it were not given.
    """
    given = dict(settings or {})
    seeds = [seed for seed in (fields.pop("seed", None), given.pop("seed", None)) if seed is not None]
    if len(seeds) > 1 and seeds[0] != seeds[1]:
        raise InputError(f"seed is given twice: {seeds[0]} as an option and {seeds[1]} among the settings")
    try:
        return RunConfig(settings=given, **fields | ({"seed": seeds[0]} if seeds else {}))
    except ValidationError as error:
        parts = [f"{'.'.join(map(str, each['loc'])) or 'options'}: {each['msg']}" for each in error.errors()]
        raise InputError(f"run: {'; '.join(parts)}") from None


def source_settings(
    rejection: Path | None, benign: Path | None, images: Path | None, skip_bad: int | None = None
) -> dict[str, Any]:
    """The settings behind `--rejection-source`, `--benign-source`, `--image-root` and `--skip-bad-rows`.

    Raises InputError when only one of the two sources is given.
    """
    if (rejection is None) != (benign is None):
        missing = "--rejection-source" if rejection is None else "--benign-source"
        raise InputError(f"{missing} is missing: give both sources, or none for the built-in ones")
    found: dict[str, Any] = {"skip_bad_rows": skip_bad} if skip_bad is not None else {}
    if rejection is None or benign is None:
        return found
    found |= {"rejection_files": [str(rejection)], "benign_files": [str(benign)]}
    return found | ({"rejection_images": str(images), "benign_images": str(images)} if images else {})


def given_doses(pairs: Sequence[str], **named: float | None) -> dict[str, float]:
    """`--dose KNOB=VALUE`, and options that are short for one (`--fraction`).

    Raises one InputError that names all that is wrong.
    """
    found: dict[str, float] = {name: value for name, value in named.items() if value is not None}
    problems = []
    for pair in pairs:
        name, values = _pair(pair)
        if not values:
            problems.append(f"cannot read {pair!r}; write for example --dose fraction=0.1")
        elif name in found or len(values) != 1:
            problems.append(f"{name} is given {'twice' if name in found else 'several values'}; give it one")
        else:
            found[name] = values[0]
    if problems:
        raise InputError(f"--dose: {'; '.join(problems)}")
    return found


def given_grids(pairs: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """`--grid KNOB=V1,V2,...`. Raises one InputError that names all that is wrong."""
    found: dict[str, tuple[float, ...]] = {}
    problems = []
    for pair in pairs:
        name, values = _pair(pair)
        if not values:
            problems.append(f"cannot read {pair!r}; write for example --grid fraction=0.1,0.2")
        elif name in found or len(set(values)) < len(values):
            problems.append(f"{name} is given twice" if name in found else f"{name} has a value twice")
        else:
            found[name] = values
    if problems:
        raise InputError(f"--grid: {'; '.join(problems)}")
    return found


def _pair(pair: str) -> tuple[str, tuple[float, ...]]:
    """Name and values; no values when it cannot be read."""
    name, equals, text = pair.partition("=")
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not all(map(isfinite, values)):  # "nan" and "inf" are numbers to Python
        values = ()
    return name.strip(), values if equals and name.strip() else ()
