"""The scorecard row: the one currency of results."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ._errors import InputError
from ._files import write_json
from ._read import read_json

Direction = Literal["lower", "higher"]
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
"""Of items; larger ones no table or database holds."""


class Row(BaseModel):
    """One rate with its denominator, interval and scorer.

    `value`, `ci_low` and `ci_high` are fractions in [0, 1] (or differences in [-1, 1]) and None when nothing was
    scored. `n_unscored` counts items the scorer could not judge, `n_empty` empty answers (a part of either count).
    `reasons` says why they could not be judged and adds up to `n_unscored`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    run: str
    benchmark: str
    revision: str
    split: str
    modality: str
    metric: str
    direction: Direction
    scorer: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n_scored: Count
    n_unscored: Count
    n_empty: Count
    n_planned: Count | None = None
    """Set when the benchmark stopped early: how many items it would have had. The interval then comes from a confidence
    sequence, which allows for having stopped when the answer was certain."""
    official: bool = False
    """The scorer asks, judges and counts as the benchmark's authors do for this metric, and no item is unscored."""
    reasons: dict[str, int] = {}
    """{reason: items}, e.g. `unfinished_thought`. Empty where nothing is unscored, and in rows of older versions."""
    n_cut: Count | None = None
    """Answers that the token limit ended, a part of either count: the scorer judged what there was, or its rule refused
    them. None where nobody counted: rows of older versions and of other sources."""

    @field_validator("reasons", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        """Flat formats have it as JSON text."""
        try:
            return json.loads(value or "{}") if isinstance(value, str) else {} if value is None else value
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.reasons and sum(self.reasons.values()) != self.n_unscored:
            raise ValueError(f"reasons count {sum(self.reasons.values())} items, n_unscored {self.n_unscored}")
        return self

    @property
    def reasons_text(self) -> str | None:
        """`reasons` for formats whose fields are flat; None where there are none."""
        return json.dumps(self.reasons) if self.reasons else None

    @property
    def key(self) -> tuple[str, str, str, str, str, str]:
        """What must agree before two rows may be compared."""
        return (self.benchmark, self.revision, self.split, self.modality, self.metric, self.scorer)


def save_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write `scorecard.json`: {"rows": [...]}."""
    write_json(path, {"rows": [row.model_dump(exclude_defaults=True) for row in rows]})


def load_rows(path: Path) -> list[Row]:
    """Read `scorecard.json`. Raises InputError naming the row and field that is wrong."""
    value = read_json(path)
    if not isinstance(value, dict) or not isinstance(value.get("rows"), list):
        raise InputError(f'{path}: expected an object with a list "rows"')
    rows = []
    for number, item in enumerate(value["rows"]):
        try:
            rows.append(Row.model_validate(item))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError.at(path, first["msg"], row=number, field=".".join(map(str, first["loc"]))) from error
    return rows
