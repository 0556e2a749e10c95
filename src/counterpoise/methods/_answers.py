"""Replies that a model gives itself, for benign rows that come without one."""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.base import Progress, json_line
from counterpoise.chat import Message, Sample, assistant, user
from counterpoise.evals import Journal

if TYPE_CHECKING:
    from counterpoise.models import Answer, Loaded

MAX_NEW_TOKENS = 40
MAX_THINKING_TOKENS = 1024
"""For a model that thinks before it answers: its thought is part of its reply."""
BLOCK = 128  # answers between two writes to the journal: two batches


def own_answers(loaded: "Loaded", rows: Iterable[Sample], journal: Path | None = None) -> Iterator[Sample]:
    """The rows, those without a reply with the model's own greedy answer to the request as text.

    Training on its own words changes a model least; its thoughts are among them. A row without an answer (empty, or a
    thought that never ended) is left out. With a `journal` file the
    answers of a stopped run are taken from it. Raises InputError when it cannot be written.
    """
    kept = list(rows)
    texts = sorted({_request(row) for row in kept if row.messages[-1].role == "user"})
    replies = _replies(loaded, texts, journal) if texts else {}
    for row in kept:
        if row.messages[-1].role != "user":
            yield row
        elif reply := replies.get(_request(row)):
            yield dataclasses.replace(row, messages=(*row.messages, reply))


def _request(row: Sample) -> str:
    return str(row.meta.get("text_twin") or row.text)


def _replies(loaded: "Loaded", texts: list[str], file: Path | None) -> dict[str, Message]:
    """The reply to each text that got one."""
    from counterpoise.models import reasoning_markers

    longest = MAX_NEW_TOKENS if reasoning_markers(loaded) is None else MAX_THINKING_TOKENS
    if file is None:
        found = _generate(loaded, texts, longest)
        made = {text: (_kept(answer.text), _kept(answer.reasoning)) for text, answer in found}
    else:
        journal = Journal(file, loaded.fingerprint)
        keys = {text: journal.key(Sample("", (user(text),)), f"greedy {longest}") for text in texts}
        try:
            todo = [text for text in texts if keys[text] not in journal]
            for text, answer in _generate(loaded, todo, longest, len(texts)):
                journal.put_reply(keys[text], answer)
        finally:
            journal.close()
        kept = {text: journal.get(key) for text, key in keys.items()}
        made = {text: (row["answer"], row.get("reasoning") or "") for text, row in kept.items() if row}
    whole = {text: (whole_sentences(answer), thought) for text, (answer, thought) in made.items()}
    return {text: assistant(said, reasoning=thought, trusted=True) for text, (said, thought) in whole.items() if said}


def _kept(text: str) -> str:
    """A reply as a journal gives it back: without NUL and halves of surrogate pairs."""
    return str(json.loads(json_line(text)))


def _generate(
    loaded: "Loaded", texts: list[str], longest: int, total: int | None = None
) -> Iterator[tuple[str, "Answer"]]:
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
                answers = engine.generate(asked, Decoding(max_new_tokens=longest), progress=progress)
                yield from zip(block, answers, strict=True)
    finally:
        engine.close()


def whole_sentences(text: str) -> str:
    """Cut an answer that hit its length limit at its last whole sentence, if that leaves more than a few words."""
    ends = [i + 1 for i, c in enumerate(text) if c in ".!?" and text[i + 1 : i + 2] in ("", " ", "\n")]
    long = [end for end in ends if end > 20] or ends
    return text[: long[-1]].strip() if long else text.strip()
