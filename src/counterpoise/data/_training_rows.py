"""Training rows of any format that is published: chat files, LLaVA and ShareGPT, prompt and response, our own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Sample

from ._chat_row import DIALOGUE, MARKS, parse_row
from ._mix import absolute
from ._row_files import raw_rows

PROMPT = ("prompt", "instruction", "question", "query")
RESPONSE = ("response", "output", "answer", "completion")
BadKind = Literal["unreadable", "image_count", "empty_label"]


class BadRow(NamedTuple):
    """A row that is no sample, and why."""

    kind: BadKind
    problem: str
    """One line with file, row, id and field."""


def training_rows(path: str | Path, image_root: str | Path | None = None) -> Iterator[Sample | BadRow]:
    """Stream a file of training rows: JSON lists, JSON Lines and Parquet, whose rows are dialogues (LLaVA, ShareGPT,
    OpenAI-style chat, files of `write_samples`) or a prompt and a response (also Alpaca's `instruction`, `input` and
    `output`, and lists of turns in both). Images as `read_llava` finds them.

    A row that cannot be read becomes a `BadRow` in its place, so that all of them are counted. Raises InputError for a
    file that cannot be read on.
    """
    file = Path(path)
    root = Path(file.parent if image_root is None else image_root).resolve()
    for number, raw in raw_rows(file):
        if isinstance(raw, str):
            yield BadRow("unreadable", str(InputError.at(file, raw, row=number)))
            continue
        # what `write_samples` wrote names its images by absolute paths
        own = {"source", "rejection", "conversations"} <= raw.keys()
        row = absolute(raw, file.parent.resolve()) if own else _as_dialogue(raw)
        try:
            sample = parse_row(row, file, number, Path("/") if own else root, own=own)
        except InputError as error:
            yield BadRow(_kind(row, str(error)), str(error))
            continue
        yield sample


def _kind(row: dict[str, Any], problem: str) -> BadKind:
    if MARKS in problem:
        return "image_count"
    turns: list[Any] = next((row[name] for name in DIALOGUE if isinstance(row.get(name), list) and row[name]), [{}])
    last = turns[-1] if isinstance(turns[-1], dict) else {}
    text = next((last[name] for name in ("value", "content", "text") if last.get(name) is not None), "")
    blank = isinstance(text, str) and not text.strip()
    return "empty_label" if blank and "empty; expected text" in problem else "unreadable"


def _as_dialogue(row: dict[str, Any]) -> dict[str, Any]:
    """A prompt and its response as turns; any other row as it is."""
    asks = next((name for name in PROMPT if row.get(name)), None)
    says = next((name for name in RESPONSE if name in row), None)
    if asks is None or says is None or any(row.get(name) for name in DIALOGUE):
        return row
    rest = {name: value for name, value in row.items() if name not in (*PROMPT, *RESPONSE, "input")}
    prompt, response = row[asks], row[says]
    if row.get("input") and isinstance(prompt, str):
        prompt = f"{prompt}\n{row['input']}"
    said = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    answer = response if isinstance(response, list) else [{"role": "assistant", "content": response}]
    return {**rest, "messages": [*said, *answer]}
