"""What an exporter is given: the rows of one evaluation, who was measured, and with what."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from counterpoise.base import Row, sha256_bytes

from .._change import Change
from .._folder import ItemRecord

_HUB = re.compile(r"^[\w.-]+/[\w.-]+$")
COLLECTION = "counterpoise"


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
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Per benchmark of `run.json`: number of rows, token limit, hash of the items."""
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
        """`owner/name` as the hub writes it; a local model becomes `local/<name>`. Safe as a file name."""
        name = self.model
        if not _HUB.match(name) or ".." in name:
            last = re.split(r"[\\/]", name.rstrip("/"))[-1]
            name = f"local/{slug(last)}"
        return f"{name}-{self.method or 'adapter'}" if self.adapter else name

    @property
    def scored(self) -> list[Row]:
        """Rows with a value. The others have no place in most formats, where they are counted, never written as 0."""
        return [row for row in self.rows if row.value is not None]

    @property
    def without_value(self) -> list[str]:
        return [row_name(row) for row in self.rows if row.value is None]

    def source(self, row: Row) -> tuple[str, str]:
        """(source, licence) of the row's benchmark; a group "name/part" has its benchmark's."""
        return self.sources.get(row.benchmark) or self.sources.get(row.benchmark.split("/")[0]) or ("", "")


def row_name(row: Row) -> str:
    """`twins/test/print/asr[opening:v2]`: what tells a row from all others of its evaluation."""
    return "/".join((row.benchmark, row.split, row.modality, f"{row.metric}[{row.scorer}]"))


def evaluation_id(evaluation: Evaluation) -> str:
    """`counterpoise/<model>/<time>`: what files about one evaluation share."""
    return f"{COLLECTION}/{evaluation.model_id}/{int(evaluation.date.timestamp())}"


def slug(name: str) -> str:
    """A name as part of a file name or address: no separators, no dots in a row, never empty."""
    plain = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._+-]+", "-", name)).strip("-.")
    return plain[:80] or f"x{sha256_bytes(name.encode())[:8]}"
