"""The rows of a file as plain values, streamed: a JSON list, JSON Lines, or Parquet."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, check_values, fault, require

Raw = dict[str, Any] | str
"""A row, or what is wrong with it when the file goes on after it."""
_SPACE = re.compile(r"\s*")
_PIECE = 1 << 20
_LONGEST_ROW = 64 << 20  # a row that is not complete after this much is broken, not long
PARQUET_BATCH = 64  # rows that are in memory at once: they may hold images


def raw_rows(file: Path) -> Iterator[tuple[int, Raw]]:
    """(number from 1, row) of every row. JSON is told from JSON Lines by the first character, Parquet by the ending.

    Memory holds one row (of Parquet: 64) at a time. Raises InputError for a file that cannot be read on: missing, a
    JSON list that is truncated, not UTF-8 or not JSON.
    """
    try:
        if file.suffix == ".parquet":
            yield from read_parquet(file)
            return
        with file.open("rb") as opened:
            head = opened.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        if b"\0" in head or head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InputError(f"{file}: UTF-16, or no text; save it as UTF-8")
        yield from _list_items(file) if head.startswith(b"[") else _lines(file)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error


def _lines(file: Path) -> Iterator[tuple[int, Raw]]:
    """One object a line; numbers are those of lines, blank ones included."""
    with file.open("rb") as opened:
        number = 0
        while line := opened.readline(_LONGEST_ROW):
            number += 1
            if not line.endswith(b"\n") and len(line) == _LONGEST_ROW:
                raise InputError.at(file, f"longer than {_LONGEST_ROW:,} bytes; is this JSON Lines?", row=number)
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    yield number, _object(json.loads(text))
            except UnicodeDecodeError as error:
                yield number, f"not UTF-8 text (byte {error.start})"
            except json.JSONDecodeError as error:
                yield number, f"not valid JSON ({error.msg}); expected one object per line; is the file truncated?"
            except RecursionError:
                yield number, "nested too deeply"
            except ValueError:  # of Python itself: a number has a limit of digits
                yield number, "a number with thousands of digits"


def _object(value: Any) -> Raw:
    if not isinstance(value, dict):
        return f"expected an object, got {type(value).__name__}"
    found = fault(value)
    return ": ".join(filter(None, (f'field "{found[0]}"' if found[0] else "", found[1]))) if found else value


def _list_items(file: Path) -> Iterator[tuple[int, Raw]]:
    """Items of one top-level JSON list. `json.load` of LLaVA's 665,000 rows would take several GB."""
    decoder, number, buffer, at, comma = json.JSONDecoder(), 0, "", 0, False
    with file.open(encoding="utf-8-sig") as opened:

        def more() -> bool:
            nonlocal buffer, at
            try:
                piece = opened.read(_PIECE)
            except UnicodeDecodeError as error:
                raise InputError.at(file, "not UTF-8 text", row=number + 1) from error
            buffer, at = buffer[at:] + piece, 0
            return bool(piece)

        more()
        at = buffer.index("[") + 1
        while True:
            space = _SPACE.match(buffer, at)
            at = space.end() if space else at
            if at == len(buffer):
                if more():
                    continue
                raise InputError.at(file, "the list does not end; is the file truncated?", row=number + 1)
            if buffer[at] == "]":
                return
            if comma:
                if buffer[at] != ",":
                    raise InputError.at(file, "expected a comma between rows", row=number + 1)
                at, comma = at + 1, False
                continue
            try:
                value, end = decoder.raw_decode(buffer, at)
            except RecursionError as error:
                raise InputError.at(file, "nested too deeply", row=number + 1) from error
            except json.JSONDecodeError as error:
                if len(buffer) - at < _LONGEST_ROW and more():
                    continue
                message = f"not valid JSON ({error.msg}); is the file truncated?"
                raise InputError.at(file, message, row=number + 1) from error
            except ValueError as error:
                raise InputError.at(file, "a number with thousands of digits", row=number + 1) from error
            number, at, comma = number + 1, end, True
            yield number, _object(value)


def read_parquet(
    file: Path, where: str | Path | None = None, *, batch: int = PARQUET_BATCH
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream (row number from 1, row) of a Parquet file, `batch` rows in memory at a time. `where` is what errors call
    the file. Raises InputError for a file that is missing or broken, two columns of one name, and text that
    `check_values` refuses; MissingPackageError without pyarrow."""
    arrow: Any = require("pyarrow", purpose="reading Parquet", install="counterpoise[parquet]")
    parquet: Any = require("pyarrow.parquet", purpose="reading Parquet", install="counterpoise[parquet]")
    place, number = where or file, 0
    if not file.is_file():
        raise InputError(f"{place}: no such file")
    try:
        with parquet.ParquetFile(file) as handle:
            names = handle.schema_arrow.names
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise InputError.at(place, "stands twice among the columns; rename one", field=twice)
            for part in handle.iter_batches(batch_size=batch):
                for row in part.to_pylist():
                    number += 1
                    check_values(row, place, row=number)
                    yield number, row
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{place}: not readable as Parquet after row {number} ({problem})") from error
    except OSError as error:
        raise InputError(f"{place}: {error.strerror or error}") from error
