"""Multiple choice in text: ARC-Challenge and GPQA-Diamond. Zero-shot letters or the authors' reasoning form, from
files; the form of the package `inspect_evals` is `inspect_evals/arc_challenge` and so on.

Files: `arc-challenge/test.parquet` (or `.jsonl`), `gpqa-diamond/gpqa_diamond.csv`.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data.sources import Hub, Source, Take

from .. import _files, _tables
from .._benchmark import Benchmark, In

DIRECT = "Answer with the option's letter from the given choices directly."
REPEATS = 4
SEED = 0
GPQA_PROMPT = """Answer the following multiple choice question. The last line of your response should be of the \
following format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by step before answering.

{}

{}"""
GPQA_FIELDS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")

ARC = Source(
    "arc-challenge", "ARC-Challenge, test split",
    Hub("allenai/ai2_arc", "210d026faf9955653af8916fad021475a3f00453"),
    (Take("ARC-Challenge/test-*.parquet", "arc-challenge/test.parquet"),), licence="CC BY-SA 4.0",
)  # fmt: skip
GPQA = Source(
    "gpqa-diamond", "GPQA-Diamond", Hub("Idavidrein/gpqa"),
    (Take("gpqa_diamond.csv", "gpqa-diamond/gpqa_diamond.csv"),),
    licence="CC BY 4.0; not to be republished in plain text", gate="accept the terms of Idavidrein/gpqa",
)  # fmt: skip


def lettered(options: Sequence[str], mark: str = ". ") -> str:
    """One option per line with its letter."""
    return "\n".join(f"{letter}{mark}{option}" for letter, option in zip(ascii_uppercase, options, strict=False))


def read_arc(file: Path) -> Iterator[Sample]:
    """Options are lettered by place, since published labels are A-E or 1-4. Raises InputError."""
    for number, row in _tables.table(file, ("id", "choices", "answerKey")):
        found = row["choices"] if isinstance(row["choices"], dict) else {}
        texts, labels = (_tables.listed(found.get(key), file, number, f"choices.{key}") for key in ("text", "label"))
        if len(texts) != len(labels) or not 2 <= len(texts) <= 26:
            raise InputError.at(file, f"{len(texts)} texts, {len(labels)} labels", row=number, field="choices")
        right = labels.index(_tables.choice(row, "answerKey", map(str, labels), file, number))
        question = _tables.text(row, "question", file, number)
        yield Sample(
            id=str(row["id"]),
            messages=(user(f"Question: {question}\n{lettered(texts)}\n{DIRECT}"),),
            target=ascii_uppercase[right],
            choices=tuple(ascii_uppercase[: len(texts)]),
            split="test",
        )


def read_gpqa(file: Path, repeats: int = REPEATS, seed: int = SEED) -> Iterator[Sample]:
    """Every question in `repeats` different orders of its options, drawn by seed and id; the cluster is the question.

    Raises InputError.
    """
    orders = list(itertools.permutations(range(len(GPQA_FIELDS))))
    for number, row in _tables.filled(file, ("Question", *GPQA_FIELDS)):
        name = (row.get("Record ID") or "").strip() or str(number)
        for repeat, order in enumerate(random.Random(f"{seed}/{name}").sample(orders, repeats)):
            options = [row[GPQA_FIELDS[place]].strip() for place in order]
            yield Sample(
                id=f"{name}/{repeat}",
                messages=(user(GPQA_PROMPT.format(row["Question"].strip(), lettered(options, ") "))),),
                target=ascii_uppercase[order.index(0)],
                split="test",
                cluster=name,
                meta={"options": len(options)},
            )


def choice_card(name: str, title: str, data: Source, what: str, **facts: Any) -> Benchmark:
    """A text card of questions whose answer is a letter; all of them are in the suite `reasoning`."""
    return Benchmark(
        name=name,
        title=title,
        description=what,
        modality="text",
        source=data.origin.place,
        licence=data.licence,
        data=(data,),
        revision="test split",
        scorers=("letter:v3",),
        metrics=("accuracy",),
        split="test",
        suites=(In("reasoning"),),
        **facts,
    )


_arc, _arc_missing = _files.either(
    "arc-challenge", "test.parquet", "test.jsonl", origin=f"the test split of {ARC.origin.place}, ARC-Challenge"
)

CARDS = (
    choice_card(
        "arc-challenge", "ARC-Challenge", ARC,
        """Accuracy of the letter (local models: the most probable one) with the options shown, zero-shot. This is
    the form for chat models; the acc and acc_norm of lm-eval score option texts that the prompt does not show, and are
    other numbers.""",
        rows=1172, missing=_arc_missing, read=lambda: read_arc(_arc()), max_new_tokens=8,
        citation="Clark et al. 2018, arXiv 1803.05457", official="log-likelihood of the option texts",
    ),
    choice_card(
        "gpqa-diamond", "GPQA-Diamond", GPQA,
        f"""Avg@{REPEATS}: the mean over {REPEATS} different orders of the options of each question, zero-shot with
    reasoning, greedy; questions are the clusters. Published values mostly sample at a temperature. The authors ask not
    to publish the questions in plain text: keep items.jsonl and logs to yourself.""",
        citation="Rein et al. 2023, arXiv 2311.12022", rows=198, counted="clusters", max_new_tokens=1024,
        read=lambda: read_gpqa(_files.path("gpqa-diamond", "gpqa_diamond.csv")),
        missing=_files.need("gpqa-diamond", "gpqa_diamond.csv", origin=_files.published(GPQA)),
    ),
)  # fmt: skip
