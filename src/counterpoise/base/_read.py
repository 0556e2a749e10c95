"""Readers of what users bring: text, JSON, JSON Lines, YAML, CSV. Whatever is wrong is one line that says where."""

import csv
import functools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ._errors import InputError

FIELD_LIMIT = 50_000_000
"""Characters of one CSV field: an image as base64 fits."""
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u(?:0000|d[89a-f])", re.IGNORECASE)
"""The only way in which text in UTF-8 can spell what `_NO_TEXT` finds."""


def read_text(path: Path) -> str:
    """A file of UTF-8 text, with or without a byte order mark. Raises InputError for everything else: a file that is
    missing, in UTF-16, in another encoding, or holds NUL."""
    with _opened(path) as file:
        text = file.read()
    if "\0" in text:
        raise InputError(f"{path}: {_nul(text.count(chr(10), 0, text.index(chr(0))) + 1)}")
    return text


def parse_json(text: str, where: str | Path, *, row: int | str | None = None) -> Any:
    """The value of JSON text. Raises InputError for text that is no JSON, is nested too deeply, or holds a number that
    is too long, NUL or half of a surrogate pair (both of which no other file could be written with)."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if row is not None:
            raise InputError.at(where, f"not valid JSON ({error.msg})", row=row) from error
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{where}: not valid JSON at {place} ({error.msg}); is it truncated?") from error
    except (ValueError, RecursionError) as error:
        raise InputError.at(where, _too_much(error), row=row) from error
    if _ESCAPED.search(text):
        check_values(value, where, row=row)
    return value


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises InputError (one line, with the position) when it is missing, truncated or not UTF-8."""
    return parse_json(read_text(path), path)


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream (row number from 1, object) of a JSON Lines file; blank lines are skipped. Raises InputError."""
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip():
            continue
        value = parse_json(line, path, row=number)
        if not isinstance(value, dict):
            raise InputError.at(path, f"expected an object, got {type(value).__name__}", row=number)
        yield number, value


def read_yaml(path: Path) -> Any:
    """`load_yaml` of a file."""
    return load_yaml(read_text(path), str(path))


def load_yaml(text: str, where: str) -> Any:
    """Plain values only; `1e-4` is a number, as in YAML 1.2. Raises InputError with line and column, also for a key
    that a mapping has twice, and for NaN; nothing in the text is ever executed."""
    import yaml  # here, so that importing this room stays fast

    try:
        value = yaml.load(text, _yaml_loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InputError(f"{where}: not valid YAML{place} ({problem})") from error
    except (ValueError, RecursionError) as error:  # a date that does not exist, nesting without end
        raise InputError(f"{where}: not valid YAML ({_too_much(error)})") from error
    check_values(value, where, numbers=True)
    return value


def read_csv(path: Path, columns: Iterable[str] = (), *, delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Stream (row number from 1, {column: text}) of a CSV file with a header, quoted as RFC 4180 says.

    Raises InputError for a file that is empty, a header that lacks one of `columns` or has a name twice, and for a row
    with more or fewer fields than the header.
    """
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(text_lines(path), strict=True, delimiter=delimiter)
    try:
        header = next(reader, None)
        if not header:
            raise InputError(f"{path}: no header; expected a first line with the names of its columns")
        for name in columns:
            if name not in header:
                raise InputError.at(path, "no such column in the header", field=name)
        if twice := next((name for name in header if name and header.count(name) > 1), None):
            raise InputError.at(path, "stands twice in the header; rename one", field=twice)
        for number, fields in enumerate(filter(None, reader), 1):
            if len(fields) != len(header):
                problem = f"{len(fields)} fields, the header has {len(header)}; is a comma not quoted?"
                raise InputError.at(path, problem, row=number)
            yield number, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        hint = "; is a quotation mark left open?" if "unexpected end" in str(error) else ""
        raise InputError(f"{path}: not readable as CSV ({error}{hint})") from error


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a file as they are, line ends included, one in memory at a time. Raises InputError like
    `read_text`."""
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if "\0" in line:
                raise InputError(f"{path}: {_nul(number)}")
            yield line


def check_values(value: Any, where: str | Path, *, row: int | str | None = None, numbers: bool = False) -> None:
    """Raises InputError for a text among the values, however deep, that holds NUL or half of a surrogate pair; with
    `numbers`, also for NaN."""
    if found := fault(value, numbers=numbers):
        raise InputError.at(where, found[1], row=row, field=found[0] or None)


def fault(value: Any, *, numbers: bool = False) -> tuple[str, str] | None:
    """(dotted field, problem) of the first value that `check_values` refuses; None when there is none."""
    todo: list[tuple[str, Any]] = [("", value)]
    seen: set[int] = set()  # of containers: YAML may name one a million times
    while todo:
        place, one = todo.pop()
        if isinstance(one, str):
            if bad := _NO_TEXT.search(one):
                what = "a NUL character" if bad[0] == "\0" else f"half of a surrogate pair (\\u{ord(bad[0]):04x})"
                return place.encode("ascii", "backslashreplace").decode(), f"holds {what}; write the text in UTF-8"
        elif numbers and isinstance(one, float) and math.isnan(one):
            return place, "not a number (NaN)"
        elif isinstance(one, Mapping | list) and id(one) not in seen:
            seen.add(id(one))
            pairs = list(one.items()) if isinstance(one, Mapping) else list(enumerate(one))
            todo += [(f"{place}.{name}".lstrip("."), each) for name, each in reversed(pairs)]
            todo += [(place, name) for name, _ in pairs if isinstance(name, str)]
    return None


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    try:
        with path.open("rb") as file:
            if file.read(2) in _WIDE:
                raise InputError(f"{path}: UTF-16 text; save it as UTF-8")
        with path.open(encoding="utf-8-sig", newline="") as text:
            yield text
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.object[error.start]:#04x}); save it as UTF-8") from error


def _nul(line: int) -> str:
    return f"line {line} holds a NUL character; is it UTF-16 without a mark, or no text? Save it as UTF-8"


def _too_much(error: Exception) -> str:
    """A recursion limit and a limit of digits in words of ours."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "a number with thousands of digits" if "digits" in str(error) else str(error)


@functools.cache
def _yaml_loader() -> Any:
    """PyYAML's safe loader, which follows YAML 1.1 and takes a number without a dot, `1e-4`, for text."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()  # of the keys as written, before `<<` is replaced by the keys that it merges
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if (key.tag, key.value) in seen:
                        problem = f"the key {key.value!r} stands here a second time"
                        raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                    seen.add((key.tag, key.value))
            return super().construct_mapping(node, deep)

    number = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    return Loader
