"""MMLU-Pro (Wang et al. 2024, arXiv 2406.01574): up to ten options, five worked examples of the subject.

Files: `mmlu-pro/test.parquet` and `mmlu-pro/validation.parquet` (or `.jsonl`).
"""

from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data.sources import Hub, Source, Take

from .. import _files, _tables
from ._choice_text import choice_card, lettered

DATA = Source(
    "mmlu-pro", "MMLU-Pro, test and validation splits",
    Hub("TIGER-Lab/MMLU-Pro", "527feea0afed1de15a8c115abf7be4c912123315"),
    (Take("data/test-*.parquet", "mmlu-pro/test.parquet"),
     Take("data/validation-*.parquet", "mmlu-pro/validation.parquet")),
    licence="MIT",
)  # fmt: skip
MMLU_HEAD = """The following are multiple choice questions (with answers) about {}. Think step by step and then finish \
your answer with "the answer is (X)" where X is the correct letter choice.

"""
SHOTS = 5


def read_mmlu_pro(file: Path, validation: Path, shots: int = SHOTS) -> Iterator[Sample]:
    """`shots` worked examples of the same subject, the first ones of the validation file. Raises InputError."""
    examples: dict[str, list[str]] = {}
    for number, row in _tables.table(validation, ("category",)):
        thought = _tables.text(row, "cot_content", validation, number)
        thought = thought.removeprefix("A: ").strip()
        _, question, _ = _mmlu_question(row, validation, number)
        examples.setdefault(str(row["category"]), []).append(f"{question}\nAnswer: {thought}\n\n")
    for number, row in _tables.table(file, ("question_id", "category")):
        subject = str(row["category"])
        if len(examples.get(subject, ())) < shots:
            what = f"{subject!r} has {len(examples.get(subject, ()))} examples in {validation.name}; expected {shots}"
            raise InputError.at(file, what, row=number, field="category")
        target, question, n = _mmlu_question(row, file, number)
        head = MMLU_HEAD.format(subject) + "".join(examples[subject][:shots])
        yield Sample(
            id=str(row["question_id"]),
            messages=(user(f"{head}{question}\nAnswer: Let's think step by step."),),
            target=target,
            split="test",
            group=subject,
            meta={"options": n},
        )


def _mmlu_question(row: dict[str, Any], file: Path, number: int | str) -> tuple[str, str, int]:
    options = [str(each) for each in _tables.listed(row.get("options"), file, number, "options")]
    options = [each for each in options if each != "N/A"]
    letters = ascii_uppercase[: len(options)]
    target = _tables.choice(row, "answer", letters, file, number)
    text = _tables.text(row, "question", file, number)
    return target, f"Question:\n{text}\nOptions:\n{lettered(options)}", len(options)


_test, _no_test = _files.either(
    "mmlu-pro", "test.parquet", "test.jsonl", origin=f"the test split of {DATA.origin.place}"
)
_shots, _no_shots = _files.either(
    "mmlu-pro", "validation.parquet", "validation.jsonl", origin=f"the validation split of {DATA.origin.place}"
)

CARDS = (
    choice_card(
        "mmlu-pro", "MMLU-Pro", DATA,
        f"""{SHOTS}-shot with reasoning, examples of the same subject, in one user turn. The official extraction
    guesses at random where it finds no letter; here such an answer is wrong.""",
        rows=12_032,
        citation="Wang et al. 2024, NeurIPS, arXiv 2406.01574",
        official="the last letter by three patterns, else a guess at random", max_new_tokens=1024, grouped="groups",
        shots=SHOTS,
        read=lambda: read_mmlu_pro(_test(), _shots()), missing=lambda: _no_test() or _no_shots(),
    ),
)  # fmt: skip
