"""Rows for safe rewriting: an unsafe text, the same said safely, and what was wrong with it.

Schema: `unsafe_text, safe_text, dimension, aspect, severity` and maybe `id, words, source, licence`, as CSV, JSON
Lines, JSON or Parquet. The columns of the paper's sheets (`biased_text, debiased_text, label, biased_words`) mean the
same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from counterpoise.base import InputError, read_csv

from ._row_files import raw_rows

RewriteSeverity = Literal["neutral", "slightly", "highly"]
_SEVERITIES: dict[str, RewriteSeverity] = {
    "neutral": "neutral", "slightly": "slightly", "highly": "highly", "slightly biased": "slightly",
    "highly biased": "highly", "none": "neutral", "neutral / unbiased": "neutral",
}  # fmt: skip
_NAMES = {
    "unsafe_text": ("unsafe_text", "biased_text"),
    "safe_text": ("safe_text", "debiased_text"),
    "severity": ("severity", "label"),
    "words": ("words", "biased_words"),
}
REMOVED = "TOREMOVE"
"""What stands in the paper's sheets where a target was taken out."""


@dataclass(frozen=True)
class Rewrite:
    """One text and how it should read. Neutral ones stay as they are."""

    id: str
    unsafe_text: str
    safe_text: str
    dimension: str
    """Toxicity, ageism, ..."""
    aspect: str
    """What about: appearance, work, ..."""
    severity: RewriteSeverity
    words: tuple[str, ...] = ()
    """The words that make it unsafe, as they stand in it."""
    source: str = ""


@dataclass
class RewriteRecord:
    """What a reader left out."""

    rows: int = 0
    removed: int = 0
    """Targets that are the marker TOREMOVE."""
    empty: int = 0
    """Rows without one of the two texts."""
    unchanged: int = 0
    """Rows that are said to be biased and whose target is the text itself."""
    fields: dict[str, str] = field(default_factory=dict)
    """Which column of the file was read for which field."""


def read_rewrites(file: Path, record: RewriteRecord | None = None) -> Iterator[Rewrite]:
    """Stream the rows of a file that can be trained on; the others are counted in `record`.

    Raises InputError naming file, row and field: a missing column, a severity that is none, a cell that is no text.
    """
    kept = record or RewriteRecord()
    for number, row in _rows(file):
        names = kept.fields = kept.fields or _columns(row, file)
        cells = {name: _cell(row.get(column), file, number, column) for name, column in names.items()}
        unsafe, safe = cells["unsafe_text"], cells["safe_text"]
        said = _SEVERITIES.get(cells["severity"].lower())
        if REMOVED in (safe, unsafe):
            kept.removed += 1
        elif not unsafe or not safe:
            kept.empty += 1
        elif said is None:
            problem = f"{cells['severity']!r}; expected neutral, slightly or highly"
            raise InputError.at(file, problem, row=number, field=names["severity"])
        elif said != "neutral" and unsafe == safe:
            kept.unchanged += 1
        else:
            kept.rows += 1
            words = tuple(word.strip(" '\"[]") for word in cells.get("words", "").split(","))
            yield Rewrite(
                cells.get("id") or f"row{number}", unsafe, safe, cells.get("dimension", ""), cells.get("aspect", ""),
                said, tuple(word for word in words if word), file.name,
            )  # fmt: skip


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if file.suffix.lower() == ".csv":
        yield from read_csv(file)
        return
    for number, row in raw_rows(file):
        if isinstance(row, str):
            raise InputError.at(file, row, row=number)
        yield number, row


def _columns(row: Mapping[str, Any], file: Path) -> dict[str, str]:
    found = {}
    for name in ("id", "unsafe_text", "safe_text", "dimension", "aspect", "severity", "words"):
        column = next((each for each in _NAMES.get(name, (name,)) if each in row), None)
        if column is not None:
            found[name] = column
        elif name in ("unsafe_text", "safe_text", "severity"):
            known = " or ".join(_NAMES[name])
            raise InputError(f"{file}: no column {known}; the file has {', '.join(map(str, row)) or 'none'}")
    return found


def _cell(value: Any, file: Path, number: int, column: str) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ",".join(value)
    if value is not None and not isinstance(value, str | int):
        raise InputError.at(file, f"expected text, got {type(value).__name__}", row=number, field=column)
    return "" if value is None else str(value).strip()
