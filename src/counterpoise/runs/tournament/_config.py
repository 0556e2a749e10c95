"""What a tournament is: one base, several arms, the same seeds, items and budget for all."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from counterpoise.base import InputError
from counterpoise.methods import get

from .._config import RunConfig

BASE = "untouched"
"""Name of the arm without any training."""


class Budget(BaseModel):
    """What one training may cost: so many rows, or so many minutes on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int | None = Field(None, ge=1)
    minutes: float | None = Field(None, gt=0, allow_inf_nan=False)

    def __str__(self) -> str:
        if self.rows is not None:
            return f"{self.rows:,} rows"
        return f"{self.minutes:g} minutes" if self.minutes is not None else "each method's own amount"


class ArmConfig(BaseModel):
    """One arm: a method, and what differs from its defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")
    """Names its folder and its row."""
    method: str
    settings: dict[str, Any] = {}
    """By dotted name, as `--set` takes them."""

    def words(self) -> str:
        """The settings for a table."""
        return ", ".join(f"{name} {value}" for name, value in self.settings.items())


class TournamentConfig(BaseModel):
    """All that is fixed when a tournament begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "pocket"
    suite: str = "core"
    arms: tuple[ArmConfig, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    budget: Budget = Budget()  # type: ignore[call-arg]  # all fields have defaults
    limit: int | None = Field(None, ge=1)
    max_new_tokens: int | None = Field(None, ge=1)
    batch: int = Field(64, ge=1)
    device_map: str | None = None
    out: Path = Path("runs/tournament")

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names) or BASE in names:
            twice = BASE if BASE in names else max(names, key=names.count)
            raise ValueError(f"arm {twice!r} is there twice; give each its own name")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds: expected different whole numbers from 0")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What must not change when a tournament is continued. Arms and seeds may be added: what is measured stays."""
        return self.model_dump(mode="json", include={"model", "suite", "budget", "limit", "max_new_tokens"})

    def run(self, arm: ArmConfig | None, seed: int, out: Path) -> RunConfig:
        """The training and measurement of one arm and seed as a run; None: the untouched model."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in _SHARED}
        chosen: dict[str, Any] = {"method": arm.method, "settings": arm.settings} if arm else {}
        return RunConfig(seed=seed, out=out, **fields, **chosen)


_SHARED = ("model", "suite", "limit", "max_new_tokens", "batch", "device_map")


def parse_arm(text: str) -> ArmConfig:
    """`--arm NAME=METHOD[,setting=value...]`. Raises InputError for what cannot be read."""
    name, equals, rest = text.partition("=")
    method, *pairs = re.split(r",(?=[A-Za-z_][\w.]*=)", rest)
    settings = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key in settings:
            raise InputError(f"--arm {name}: {key} is given twice")
        try:
            settings[key] = yaml.safe_load(value)
        except (yaml.YAMLError, RecursionError):
            raise InputError(f"--arm {name}: {key}: cannot read {value!r}; write a number, a word or a YAML value"
                             ) from None  # fmt: skip
    if not equals or not name.strip() or not method.strip():
        raise InputError(f"--arm {text!r}: write NAME=METHOD or NAME=METHOD,setting=value, for example "
                         "half=rejection-mix,fraction=0.1")  # fmt: skip
    return _arm(name.strip(), method.strip(), settings)


def parse_methods(text: str) -> list[ArmConfig]:
    """`--methods a,b,c`: an arm of each with its defaults. Raises InputError for an unknown method."""
    return [_arm(name, name, {}) for name in (part.strip() for part in text.split(",")) if name]


def _arm(name: str, method: str, settings: dict[str, Any]) -> ArmConfig:
    get(method)
    try:
        return ArmConfig(name=name, method=method, settings=settings)
    except ValidationError as error:
        raise InputError(f"arm {name!r}: {error.errors()[0]['msg']}; use letters, digits, . _ + -") from None


def parse_budget(text: str) -> Budget:
    """`200rows` or `10min`. Raises InputError for anything else."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(rows?|min(?:utes?)?)\s*", text)
    number = float(match[1]) if match else 0.0
    if match is None or number <= 0 or (match[2].startswith("row") and number != int(number)):
        raise InputError(f"--budget {text!r}: write for example 200rows or 10min")
    if match[2].startswith("row"):
        return Budget(rows=int(number), minutes=None)
    return Budget(rows=None, minutes=number)


def tournament_config(arms: Iterable[ArmConfig], *, seeds: int | Sequence[int] = 3, **fields: Any) -> TournamentConfig:
    """Build the config. Raises one InputError that names every wrong field."""
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    try:
        return TournamentConfig(arms=tuple(arms), seeds=numbers, **fields)
    except ValidationError as error:
        parts = [f"{'.'.join(map(str, x['loc'])) or 'arms'}: {x['msg'].removeprefix('Value error, ')}"
                 for x in error.errors()]  # fmt: skip
        raise InputError(f"tournament: {'; '.join(parts)}") from None
