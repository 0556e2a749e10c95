"""A benchmark of your own: a short YAML beside a table of rows becomes a card, without a line of Python."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from counterpoise.base import InputError, read_yaml, sha256_file
from counterpoise.chat import Sample

from .._benchmark import Benchmark
from ._framed import load_framed
from ._rows import Columns, check
from ._settings import OwnBenchmark

SHOWN = 10
"""So many problems of one file are named; the others are counted."""


def load_own(path: Path, find: Callable[[str], Benchmark]) -> Benchmark:
    """The card of a YAML file. All rows are read once, so that nothing fails after hours of generation. `find` knows
    other benchmarks by name, for a file that puts one of them into a format (see `framed`).

    Raises one InputError that names every wrong setting, or, when the settings are right, the first
    problem of every wrong row (ten are named, the others counted).
    """
    value = read_yaml(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected settings such as 'name: my-benchmark'; see docs/own-benchmark.md")
    if "of" in value:
        return load_framed(path, value, find)
    folder = path.parent
    try:
        own = OwnBenchmark.model_validate(value, context={"folder": folder})
    except ValidationError as error:
        raise InputError(_together(path, [_plain(each) for each in error.errors()])) from None
    file, columns = folder / own.file, Columns.of(own, folder / own.image_folder)
    found = check(file, columns)
    if found.problems:
        raise InputError(_together(path, found.problems))

    def read() -> Iterator[Sample]:
        return columns.read(file)

    return Benchmark(
        name=own.name,
        title=own.title or own.name,
        description=own.description,
        modality="image" if own.images else "text",
        source=own.source,
        licence=own.licence,
        revision=f"sha256:{sha256_file(file)[:12]}",
        rows=found.rows,
        scorers=own.chosen_scorers,
        metrics=own.chosen_metrics(found.sides),
        read=read,
        shots=None,  # its prompts may hold examples
        max_new_tokens=own.max_new_tokens,
        grouped="groups" if own.group else "no",
        citation=own.citation,
        file=str(path.resolve()),
    )


def _plain(each: Any) -> str:
    place = ".".join(map(str, each["loc"][:1]))
    message = each["msg"].removeprefix("Value error, ")
    if each["type"] == "extra_forbidden":
        near = get_close_matches(place, OwnBenchmark.model_fields, n=1)
        message = "no such setting" + (f"; did you mean {near[0]}?" if near else "")
    elif each["type"] == "missing":
        message = f"not set. {OwnBenchmark.model_fields[place].description}"
    elif each["type"] == "string_pattern_mismatch":
        message = f"{each['input']!r}; expected: {OwnBenchmark.model_fields[place].description}"
    return f"{place}: {message}" if place else message


def _together(path: Path, problems: list[str]) -> str:
    unique = list(dict.fromkeys(problems))
    more = [f"and {len(unique) - SHOWN} more"] if len(unique) > SHOWN else []
    return f"{path}: " + "; ".join(unique[:SHOWN] + more)
