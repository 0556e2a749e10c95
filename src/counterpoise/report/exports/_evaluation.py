"""What an exporter is given: the rows of one evaluation, who was measured, and with what."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from counterpoise.base import Row, sha256_bytes

from .._change import Change
from .._folder import ItemRecord

_HUB = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[1-9]|lpt[1-9])(\.|$)")
_PATH = re.compile(r"[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]")
COLLECTION = "counterpoise"


class Generation(NamedTuple):
    """How the answers to a benchmark were made. None: its record does not say."""

    shots: int | None = None
    """Worked examples in front of each question."""
    temperature: float | None = None
    top_p: float | None = None
    tries: int | None = None
    """Answers to each question."""
    max_new_tokens: int | None = None


_NONE = Generation()


@dataclass(frozen=True)
class Evaluation:
    """Rows of one model with the facts that the formats ask for. Nothing here names a path of this machine."""

    rows: tuple[Row, ...]
    date: datetime
    """When it was measured, in UTC."""
    fingerprint: str = ""
    """Of the weights (and adapter) that answered."""
    adapter: bool = False
    method: str = ""
    """The alignment method of a run, for its `after` side."""
    commit: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    generation: Mapping[tuple[str, str], Generation] = field(default_factory=dict)
    """By (benchmark, split)."""
    sources: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """(source, licence) by benchmark."""
    items: Sequence[ItemRecord] = ()
    differences: Sequence[Change] = ()
    """Paired with `baseline`."""
    baseline: "Evaluation | None" = None

    @property
    def model(self) -> str:
        return self.rows[0].model

    @property
    def model_id(self) -> str:
        """`owner/name` as the hub writes it; any other model becomes `local/<name>`. Safe as a path of any system."""
        name = self.model
        if not _HUB.fullmatch(name) or ".." in name or not all(map(_portable, name.split("/"))):
            last = slug(re.split(r"[\\/]", name.rstrip("/"))[-1])
            name = f"local/{last if _portable(last) else f'model-{last}'}"
        return f"{name}-{slug(self.method or 'adapter')}" if self.adapter else name

    def without_paths(self) -> "Evaluation":
        """A model that was given by its folder goes by the folder's name: no path of this machine leaves it."""
        if not _PATH.match(self.model):
            return self
        last = re.split(r"[\\/]", self.model.rstrip("\\/"))[-1] or "model"
        return replace(self, rows=tuple(row.model_copy(update={"model": last}) for row in self.rows))

    @property
    def scored(self) -> list[Row]:
        """Rows with a value. The others have no place in most formats, where they are counted, never written as 0."""
        return [row for row in self.rows if row.value is not None]

    @property
    def without_value(self) -> list[str]:
        return [row_name(row) for row in self.rows if row.value is None]

    def how(self, row: Row) -> Generation:
        """How the answers of the row were made; a group "name/part" has its benchmark's."""
        names = (row.benchmark, row.benchmark.split("/")[0], row.benchmark.split(":")[0])
        return next((self.generation[name, row.split] for name in names if (name, row.split) in self.generation), _NONE)

    def source(self, row: Row) -> tuple[str, str]:
        """(source, licence) of the row's benchmark; a group "name/part" has its benchmark's."""
        return self.sources.get(row.benchmark) or self.sources.get(row.benchmark.split("/")[0]) or ("", "")


def row_name(row: Row) -> str:
    """`twins/test/print/asr[opening:v3]`: what tells a row from all others of its evaluation."""
    return "/".join((row.benchmark, row.split, row.modality, f"{row.metric}[{row.scorer}]"))


def evaluation_id(evaluation: Evaluation) -> str:
    """`counterpoise/<model>/<time>`: what files about one evaluation share."""
    return f"{COLLECTION}/{evaluation.model_id}/{int(evaluation.date.timestamp())}"


def slug(name: str) -> str:
    """A name as part of a file name or address: no separators, no dots in a row, never empty."""
    plain = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._+-]+", "-", name)).strip("-.")
    return plain[:80] or f"x{sha256_bytes(name.encode())[:8]}"


def _portable(name: str) -> bool:
    """Whether every file system, and the rules of Every Eval Ever, take it as the name of a folder."""
    return not (_RESERVED.match(name) or name.endswith(".") or name.lower() in ("data", "unknown"))
