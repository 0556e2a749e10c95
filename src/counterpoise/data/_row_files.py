"""The rows of a file as plain values, streamed: a JSON list, JSON Lines, or Parquet."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, require

Raw = dict[str, Any] | str
"""A row, or what is wrong with it when the file goes on after it."""
_SPACE = re.compile(r"\s*")
_PIECE = 1 << 20
_LONGEST_ROW = 64 << 20  # a row that is not complete after this much is broken, not long
_BATCH = 64  # rows of a Parquet file that are in memory at once: they may hold images


def raw_rows(file: Path) -> Iterator[tuple[int, Raw]]:
    """(number from 1, row) of every row. JSON is told from JSON Lines by the first character, Parquet by the ending.

    Memory holds one row (of Parquet: 64) at a time. Raises InputError for a file that cannot be read on: missing, a
    JSON list that is truncated, not UTF-8 or not JSON.
    """
    try:
        if file.suffix == ".parquet":
            yield from _parquet(file)
            return
        with file.open("rb") as opened:
            head = opened.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
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


def _object(value: Any) -> Raw:
    return value if isinstance(value, dict) else f"expected an object, got {type(value).__name__}"


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
            number, at, comma = number + 1, end, True
            yield number, _object(value)


def _parquet(file: Path) -> Iterator[tuple[int, Raw]]:
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    arrow = require("pyarrow", purpose="reading Parquet", install="counterpoise[parquet]")
    parquet = require("pyarrow.parquet", purpose="reading Parquet", install="counterpoise[parquet]")
    number = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=_BATCH):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except arrow.ArrowException as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{file}: not readable as Parquet after row {number} ({problem})") from error
