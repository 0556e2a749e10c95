"""What a set is built from: harmful requests, one a line or a row, some with an image."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from counterpoise.base import InputError, read_csv, read_json, read_jsonl, sha256_bytes, text_lines
from counterpoise.chat import Image

_TEXT = ("text", "request", "question", "prompt", "instruction", "query")


class Seed(NamedTuple):
    """One request."""

    id: str
    text: str
    image: Image | None = None


def read_seeds(files: Sequence[Path]) -> list[Seed]:
    """The requests of text files (one a line; # begins a comment), JSON, JSON Lines or CSV (a field text, request,
    question, prompt, instruction or query; maybe id and image, a path from the file's folder).

    Without an id of its own a request is named by its text, so that neither order nor file matters, and the same one
    twice counts once. Raises InputError
    with file, row and field for an empty or missing text, a missing image, and an id that occurs twice.
    """
    found: dict[str, Seed] = {}
    for file in files:
        for number, seed in _rows(file):
            other = found.setdefault(seed.id, seed)
            if other is not seed and other != seed:
                raise InputError.at(file, f"{seed.id!r} occurs twice", row=number, field="id")
    if not found:
        raise InputError(f"{', '.join(map(str, files)) or 'seeds'}: no requests; expected one a line")
    return list(found.values())


def _rows(file: Path) -> Iterator[tuple[int, Seed]]:
    if file.suffix not in (".json", ".jsonl", ".csv"):
        for number, line in enumerate(text_lines(file), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield number, Seed(_name(line.strip()), line.strip())
        return
    for number, row in _values(file):
        if not isinstance(row, dict):
            raise InputError.at(file, f"expected an object, got {type(row).__name__}", row=number)
        field = next((name for name in _TEXT if row.get(name)), _TEXT[0])
        text = row.get(field)
        if not isinstance(text, str) or not text.strip():
            raise InputError.at(file, f"empty; expected text under one of {', '.join(_TEXT)}", row=number, field=field)
        shown = row.get("image")
        if shown and not isinstance(shown, str):
            raise InputError.at(file, "expected a path", row=number, field="image")
        try:
            image = Image.from_path(file.parent / shown) if shown else None
        except InputError as error:
            raise InputError.at(file, str(error), row=number, field="image") from error
        own = row.get("id")
        yield number, Seed(_name(text.strip()) if own in (None, "") else str(own), text.strip(), image)


def _values(file: Path) -> Iterator[tuple[int, Any]]:
    if file.suffix == ".jsonl":
        yield from read_jsonl(file)
    elif file.suffix == ".csv":
        yield from enumerate((dict(row) for _, row in read_csv(file)), 1)
    else:
        value = read_json(file)
        if not isinstance(value, list):
            raise InputError(f"{file}: expected a list of rows")
        yield from enumerate(value, 1)


def _name(text: str) -> str:
    return f"s{sha256_bytes(text.encode())[:10]}"
