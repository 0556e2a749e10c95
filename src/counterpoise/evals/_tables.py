"""Rows of a published file, whatever its format, with errors that name file, row and field."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, read_csv, read_json, read_jsonl
from counterpoise.chat import Image
from counterpoise.data import read_parquet

FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


def table(file: Path, columns: Iterable[str] = ()) -> Iterator[tuple[int | str, dict[str, Any]]]:
    """(row number from 1, row) of a CSV, TSV, JSON Lines, JSON or Parquet file, streamed where the format allows it.

    A JSON file may hold a list of objects, or one object whose values are objects: its keys are then the row names.
    Raises InputError for a file that cannot be read or lacks a column, naming file, row and field.
    """
    wanted = tuple(columns)
    for name, row in _rows(file, wanted):
        if not isinstance(row, dict):
            raise InputError.at(file, "expected an object", row=name)
        for column in wanted:
            if row.get(column) is None:
                raise InputError.at(file, "missing", row=name, field=column)
        yield name, row


def filled(file: Path, columns: Iterable[str]) -> Iterator[tuple[int | str, dict[str, Any]]]:
    """Like `table`, and every named column must hold text. Raises InputError naming file, row and field."""
    wanted = tuple(columns)
    for name, row in table(file, wanted):
        for column in wanted:
            text(row, column, file, name)
        yield name, row


def _rows(file: Path, wanted: tuple[str, ...]) -> Iterator[tuple[int | str, Any]]:
    kind = file.suffix.lower()
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    if kind in (".csv", ".tsv"):
        yield from read_csv(file, wanted, delimiter="," if kind == ".csv" else "\t")
    elif kind == ".jsonl":
        yield from read_jsonl(file)
    elif kind == ".json":
        value = read_json(file)
        if not isinstance(value, list | dict):
            raise InputError(f"{file}: expected a list of objects, or an object of objects")
        yield from value.items() if isinstance(value, dict) else enumerate(value, 1)
    elif kind == ".parquet":
        yield from read_parquet(file)
    else:
        raise InputError(f"{file}: unknown format; known are {', '.join(FORMATS)}")


def text(row: Any, field: str, file: Path, name: int | str) -> str:
    """A non-empty text field of an object. Raises InputError naming file, row and field."""
    value = row.get(field) if isinstance(row, Mapping) else None
    if not isinstance(value, str) or not value.strip():
        raise InputError.at(file, "missing or empty; expected text", row=name, field=field)
    return value


def choice(row: Mapping[str, Any], field: str, allowed: Iterable[str], file: Path, name: int | str) -> str:
    """A field that holds one of a few words. Raises InputError that lists them."""
    value = str(row.get(field))
    if value not in (known := tuple(allowed)):
        raise InputError.at(file, f"{value!r}; expected one of {', '.join(known)}", row=name, field=field)
    return value


def image(value: Any, folder: Path, file: Path, name: int | str, field: str = "image") -> Image:
    """An image from a path below `folder`, from bytes, or from the {"bytes", "path"} of a Parquet image column.

    Raises InputError when it is missing or when its path leaves the folder: rows are not trusted.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return Image.from_bytes(value, f"{file.name} row {name}")
    if not isinstance(value, str) or not value.strip():
        raise InputError.at(file, "missing; expected an image", row=name, field=field)
    place = (folder / value).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise InputError.at(file, f"{value!r} leaves {folder}; use a path below it", row=name, field=field)
    try:
        return Image.from_path(place)
    except InputError as error:
        raise InputError.at(file, str(error), row=name, field=field) from error


def listed(value: Any, file: Path, name: int | str, field: str) -> list[Any]:
    """A list field; text that holds a JSON list is parsed, as CSV files have it. Raises InputError."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, list):
        raise InputError.at(file, "expected a list", row=name, field=field)
    return value
