"""Replies that a model gives itself, for benign rows that come without one."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.base import Progress
from counterpoise.chat import Sample, assistant, user
from counterpoise.evals import Journal

if TYPE_CHECKING:
    from counterpoise.models import Loaded

MAX_NEW_TOKENS = 40
BLOCK = 128  # answers between two writes to the journal: two batches


def own_answers(loaded: "Loaded", rows: Iterable[Sample], journal: Path | None = None) -> Iterator[Sample]:
    """The rows, those without a reply with the model's own greedy answer to the request as text.

    Training on its own words changes a model least. A row with an empty answer is left out. With a `journal` file the
    answers of a stopped run are taken from it. Raises InputError when it cannot be written.
    """
    kept = list(rows)
    texts = sorted({_request(row) for row in kept if row.messages[-1].role == "user"})
    replies = _replies(loaded, texts, journal) if texts else {}
    for row in kept:
        if row.messages[-1].role != "user":
            yield row
        elif reply := replies[_request(row)]:
            yield dataclasses.replace(row, messages=(*row.messages, assistant(reply)))


def _request(row: Sample) -> str:
    return str(row.meta.get("text_twin") or row.text)


def _replies(loaded: "Loaded", texts: list[str], file: Path | None) -> dict[str, str]:
    if file is None:
        return {text: whole_sentences(answer) for text, answer in _generate(loaded, texts)}
    journal = Journal(file, loaded.fingerprint)
    keys = {text: journal.key(Sample("", (user(text),)), f"greedy {MAX_NEW_TOKENS}") for text in texts}
    try:
        for text, answer in _generate(loaded, [text for text in texts if keys[text] not in journal], len(texts)):
            journal.put(keys[text], answer, "stop")
    finally:
        journal.close()
    kept = {text: journal.get(key) for text, key in keys.items()}
    return {text: whole_sentences(row["answer"]) for text, row in kept.items() if row}


def _generate(loaded: "Loaded", texts: list[str], total: int | None = None) -> Iterator[tuple[str, str]]:
    """(text, answer) pairs, block by block; `total` counts those that an earlier run answered too."""
    if not texts:
        return
    from counterpoise.models import Decoding, Engine

    engine, all_ = Engine(loaded), total or len(texts)
    try:
        with Progress("own answers to benign requests", all_, done=all_ - len(texts)) as progress:
            for start in range(0, len(texts), BLOCK):
                block = texts[start : start + BLOCK]
                asked = [(user(text),) for text in block]
                answers = engine.generate(asked, Decoding(max_new_tokens=MAX_NEW_TOKENS), progress=progress)
                yield from zip(block, (answer.text for answer in answers), strict=True)
    finally:
        engine.close()


def whole_sentences(text: str) -> str:
    """Cut an answer that hit its length limit at its last whole sentence, if that leaves more than a few words."""
    ends = [i + 1 for i, c in enumerate(text) if c in ".!?" and text[i + 1 : i + 2] in ("", " ", "\n")]
    long = [end for end in ends if end > 20] or ends
    return text[: long[-1]].strip() if long else text.strip()
