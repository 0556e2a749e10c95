"""What exports take from `run.json`: checked field by field, because a damaged record must not become a document."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from counterpoise.base import InputError, check_values, read_json

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


def _moment(value: object) -> object:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


Moment = Annotated[datetime, BeforeValidator(_moment)]


class _Facts(BaseModel):
    """A field without a default must be there. Others may be missing, and are then unknown; null is no value."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    @property
    def given(self) -> dict[str, Any]:
        """As it was read: what was not there is not there."""
        return self.model_dump(exclude_unset=True)


class Drawn(_Facts):
    """How answers were drawn."""

    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Share = 1.0
    tries: Positive = 1


class Measured(_Facts):
    """One benchmark."""

    split: str = "all"
    shots: Count = 0
    max_new_tokens: Positive = 1
    label: str = ""
    sampling: Drawn = Drawn()
    source: str = ""
    licence: str = ""


class Model(_Facts):
    """Who answered."""

    name: str
    fingerprint: str = ""
    adapter: str | None = None
    artifact: dict[str, Any] = {}


class EvalFacts(_Facts):
    """`run.json` of an evaluation."""

    model: Model
    benchmarks: dict[str, Measured]
    decoding: Drawn = Drawn()
    versions: dict[str, str] = {}
    commit: str = ""
    started: Moment | None = None


class Config(_Facts):
    """What a run was asked for."""

    method: str


class RunFacts(_Facts):
    """`run.json` of a run."""

    config: Config
    started: Moment
    commit: str = ""


Read = TypeVar("Read", EvalFacts, RunFacts)


def read_facts(file: Path, kind: type[Read]) -> Read | None:
    """The record in `file`, or None where there is none. Raises InputError that names the field which is missing, of
    another type, out of bounds, or not a number."""
    if not file.is_file():
        return None
    value = read_json(file)
    if not isinstance(value, dict):
        raise InputError(f"{file}: expected an object, got {type(value).__name__}; measure again to write it anew")
    check_values(value, file, numbers=True)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        problem = "missing" if first["type"] == "missing" else f"{first['msg']}, got {_shown(first['input'])}"
        raise InputError.at(file, f"{problem}; give the command that wrote it again", field=field) from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
