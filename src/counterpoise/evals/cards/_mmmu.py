"""MMMU (Yue et al. 2024, arXiv 2311.16502), validation: college questions with one to seven images.

Files: the hub's folders, `mmmu/<Subject>/validation-*.parquet`. Images stand in their places; the form of the
package `inspect_evals`, images after the question, is `inspect_evals/mmmu_multiple_choice`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, user
from counterpoise.data.sources import GB, Hub, Source, Take

from .. import _files, _tables
from .._benchmark import Benchmark
from ._choice_text import DIRECT, lettered

DATA = Source(
    "mmmu", "MMMU, validation split", Hub("MMMU/MMMU", "171b0ef74cd1704464e6940860968009d8cdd59a"),
    (Take("*/validation-*.parquet", "mmmu/"),), licence="Apache-2.0", limit=5 * GB,
)  # fmt: skip
SHORT = "Answer the question using a single word or phrase."
_PLACE = re.compile(r"<image ([1-7])>")


def read(file: Path, subject: str) -> Iterator[Sample]:
    """Images stand where their placeholders stand, in question and options. Raises InputError."""
    for number, row in _tables.table(file, ("id", "answer")):
        kind = _tables.choice(row, "question_type", ("multiple-choice", "open"), file, number)
        options = _strings(row.get("options"), file, number, "options") if kind == "multiple-choice" else []
        letters = ascii_uppercase[: len(options)]
        question = _tables.text(row, "question", file, number)
        prompt = f"{question}\n{lettered(options)}\n\n{DIRECT}" if options else f"{question}\n\n{SHORT}"
        accepted = [_tables.choice(row, "answer", letters, file, number)] if options else _accepted(row, file, number)
        yield Sample(
            id=_tables.text(row, "id", file, number),
            messages=(user(*_parts(prompt, row, file, number)),),
            target=accepted[0],
            choices=tuple(letters),
            modality="image",
            split="validation",
            group=subject,
            meta={"accept": accepted[1:]},
        )


def _parts(prompt: str, row: dict[str, Any], file: Path, number: int | str) -> list[str | Image]:
    """The prompt with its images; an image that is mentioned again is shown once."""
    parts: list[str | Image] = []
    shown: set[str] = set()
    for place, piece in enumerate(_PLACE.split(prompt)):
        if place % 2 == 0:
            parts += [piece] if piece.strip() else []
        elif piece in shown:
            parts.append(f"(image {piece})")
        else:
            shown.add(piece)
            parts.append(_tables.image(row.get(f"image_{piece}"), file.parent, file, number, f"image_{piece}"))
    if not shown:
        raise InputError.at(file, "no <image 1> in question or options", row=number, field="question")
    return parts


def _strings(value: Any, file: Path, number: int | str, field: str) -> list[str]:
    """A list that the source writes as a Python literal."""
    try:
        found = ast.literal_eval(value) if isinstance(value, str) else value
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not 2 <= len(found) <= 26:
        raise InputError.at(file, "expected a list of 2 to 26 options", row=number, field=field)
    return [str(each) for each in found]


def _accepted(row: dict[str, Any], file: Path, number: int | str) -> list[str]:
    """Right answers of an open question: one, or a list written as a literal."""
    answer = _tables.text(row, "answer", file, number)
    return _strings(answer, file, number, "answer") if answer.startswith("[") else [answer]


def read_all(folder: Path) -> Iterator[Sample]:
    """All subjects, in alphabetical order."""
    for file in _files.shards(folder, "*/validation*.parquet"):
        yield from read(file, file.parent.name)


CARDS = (
    Benchmark(
        name="mmmu",
        title="MMMU",
        description="""Accuracy over 30 subjects (micro): the letter of multiple-choice questions (local models: the
        most probable one), a rule for open ones. The official rules guess at random where they find no letter; here
        that is wrong. Harnesses differ by up to 8 points on one model: compare own runs only.""",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Yue et al. 2024, CVPR, arXiv 2311.16502",
        official="rules that guess at random where no option is found",
        revision="validation split",
        rows=900,
        scorers=("mmmu-rules:v3",),
        metrics=("accuracy",),
        read=lambda: read_all(_files.path("mmmu")),
        missing=_files.need("mmmu", origin=f"the subject folders of {DATA.origin.place}"),
        data=(DATA,),
        split="validation",
        max_new_tokens=32,
        grouped="groups",
    ),
)
