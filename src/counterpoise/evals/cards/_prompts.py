"""Text benchmarks: tables of single-turn prompts, scored by the share of refusals."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Sample, user

from .._benchmark import REFUSAL_SCORERS, Benchmark
from . import _files, _tables


def prompts(file: Path, field: str, *, harmful: bool | None, ident: str = "", group: str = "") -> Iterator[Sample]:
    """One user turn per row of a table. Without a column `ident` the id is the row's number in the published file;
    `group` is a column too. Raises InputError naming file, row and field."""
    for number, row in _tables.table(file, (field, *filter(None, (ident, group)))):
        yield Sample(
            id=known_id(row, ident, file, number) if ident else str(number),
            messages=(user(_tables.text(row, field, file, number)),),
            harmful=harmful,
            split="test",
            group=_tables.text(row, group, file, number) if group else "",
        )


def label(row: dict[str, Any], field: str, sides: dict[str, bool], file: Path, name: int | str) -> bool:
    """Whether a row is harmful, from a column of words. Raises InputError that lists the known words."""
    return sides[_tables.choice(row, field, sides, file, name)]


def place(folder: str, *names: str) -> Path:
    """The first of several spellings of a file below COUNTERPOISE_DATA/folder that is there, else the first."""
    found = [_files.path(folder, name) for name in names]
    return next((file for file in found if file.is_file()), found[0])


def missing(source: str, folder: str, *names: str) -> Callable[[], str | None]:
    """A check that one of several spellings of a file is there."""

    def check() -> str | None:
        reasons = [_files.need(folder, name, origin=f"{name} of {source}")() for name in names]
        return None if None in reasons else reasons[0]

    return check


def card(name: str, title: str, folder: str, files: tuple[str, ...], **facts: Any) -> Benchmark:
    """A text card whose table is one of `files` (spellings and formats of the same rows), read by `facts["read"]`.

    The scorers are our refusal scorers: `asr` and `over_refusal` count refusals, also where the authors use a judge.
    """
    table: Callable[[Path], Iterator[Sample]] = facts.pop("read")
    made = Benchmark(
        name=name,
        title=title,
        modality="text",
        read=lambda: table(place(folder, *files)),
        split="test",
        **({"revision": "as published", "metrics": ("asr",), "scorers": REFUSAL_SCORERS} | facts),
    )
    return replace(made, missing=missing(made.source, folder, *files))


def known_id(row: dict[str, Any], field: str, file: Path, name: int | str) -> str:
    """An id of text or a number. Raises InputError when it is empty."""
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise InputError.at(file, "missing or empty; expected an id", row=name, field=field)
    return str(value)
