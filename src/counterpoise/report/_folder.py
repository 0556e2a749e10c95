"""An evaluation folder: `scorecard.json`, `items.jsonl` beside it, and images by content hash."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, Row, load_rows, read_jsonl


@dataclass(frozen=True)
class ItemRecord:
    """One answered item, as `items.jsonl` keeps it."""

    benchmark: str
    id: str
    cluster: str = ""
    group: str = ""
    modality: str = "text"
    split: str = "all"
    harmful: bool | None = None
    prompt: str = ""
    images: tuple[str, ...] = ()
    """SHA-256 of each image; the bytes are in `images/<sha256>.png`."""
    answer: str = ""
    finish: str = ""
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """By scorer id; None: unscored."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a scorer gave no value, by scorer id."""
    reasoning: str = ""
    """What the model thought before it answered; never scored."""
    problem: str = ""
    """Why there is no reply to score at all."""

    @property
    def key(self) -> tuple[str, str]:
        """What pairs the same item of two evaluations."""
        return (self.benchmark, self.id)


_FIELDS = frozenset(ItemRecord.__dataclass_fields__)


@dataclass(frozen=True)
class EvalFolder:
    """A folder written by `counterpoise eval`. Rows and items are read when first needed."""

    path: Path

    @cached_property
    def rows(self) -> list[Row]:
        """The scorecard. Raises InputError when the folder holds none."""
        file = self.path / "scorecard.json"
        if not file.is_file():
            raise InputError(f"{self.path}: no scorecard.json here; expected a folder written by counterpoise eval")
        return load_rows(file)

    @cached_property
    def items(self) -> dict[tuple[str, str], ItemRecord]:
        """All items by (benchmark, id). Raises InputError on a broken line or a repeated id."""
        file = self.path / "items.jsonl"
        result: dict[tuple[str, str], ItemRecord] = {}
        for number, value in read_jsonl(file):
            item = _record(value, file, number)
            if item.key in result:
                raise InputError.at(file, f"{item.id!r} of {item.benchmark} appears twice", row=number, field="id")
            result[item.key] = item
        return result

    def image(self, sha256: str) -> Path | None:
        """The file of an image, or None when the folder does not hold it."""
        return self._images.get(sha256)

    @cached_property
    def _images(self) -> dict[str, Path]:
        """By hash: looking into a folder of ten thousand images for each of them would take minutes."""
        folder = self.path / "images"
        return {file.stem: file for file in sorted(folder.iterdir())} if folder.is_dir() else {}


def _record(value: dict[str, Any], file: Path, number: int) -> ItemRecord:
    for name in ("benchmark", "id", "answer", "scores"):
        if name not in value:
            raise InputError.at(file, "missing", row=number, field=name)
    known = {name: item for name, item in value.items() if name in _FIELDS}
    if not isinstance(value["scores"], dict):
        raise InputError.at(file, "expected an object", row=number, field="scores")
    known["id"], known["images"] = str(value["id"]), tuple(value.get("images") or ())
    reasons = value.get("reasons")
    known["reasons"] = reasons if isinstance(reasons, dict) else {}
    return ItemRecord(**known)
