"""Cards of text benchmarks: a published table of single-turn prompts, scored by the share of refusals."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.data.sources import Source, Take

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark
from ..own import Columns


def text_set(name: str, title: str, data: Source, columns: Columns, **facts: Any) -> Benchmark:
    """A card of prompts whose columns say all. What is measured follows from the sides that are read; there are rows
    for the groups where there is a column of them."""
    side = columns.only if isinstance(columns.harmful, str) else columns.harmful
    metrics = ("asr", "over_refusal") if side is None else ("asr",) if side else ("over_refusal",)
    facts = {"metrics": metrics, "grouped": "groups" if columns.group else "no"} | facts
    return text_card(name, title, data, replace(columns, split="test").read, **facts)


def text_card(
    name: str, title: str, data: Source, read: Callable[[Path], Iterator[Sample]], *, file: str = "",
    also: tuple[str, ...] = (), **facts: Any,
) -> Benchmark:  # fmt: skip
    """A text card whose rows `read` makes of one table: `file` of the data folder (of a source of one file, that one),
    the same name with the ending of another format, or another name that it is published under.

    The scorers are our refusal scorers: `asr` and `over_refusal` count refusals, also where the authors use a judge.
    """
    folder, _, first = (file or _only(data)).rpartition("/")
    formats = [Path(first).with_suffix(kind).name for kind in _tables.FORMATS]
    origin = f"{first} of {_files.published(data)}"
    table, missing = _files.either(folder, *dict.fromkeys((first, *also, *formats)), origin=origin)
    return Benchmark(
        name=name,
        title=title,
        modality="text",
        source=data.origin.place,
        licence=data.licence,
        data=(data,),
        read=lambda: read(table()),
        missing=missing,
        split="test",
        **({"revision": "as published", "metrics": ("asr",), "scorers": REFUSAL_SCORERS} | facts),
    )


def _only(data: Source) -> str:
    """Where the only file of a source lies."""
    (part,) = data.parts
    assert isinstance(part, Take), part
    return part.to


def known_id(row: dict[str, Any], field: str, file: Path, name: int | str) -> str:
    """An id of text or a number. Raises InputError when it is empty."""
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise InputError.at(file, "missing or empty; expected an id", row=name, field=field)
    return str(value)
