"""What the tiny guard sees of an exchange: sentence embeddings in fixed places, one row per window."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.evals.scorers import refusal_probability

from .._values import Exchange
from ._bert import DIM
from ._eye import Reading
from ._minilm import MiniLM, minilm
from ._windows import sentences, windows

WIDTH = 3 * DIM + 4
LAYOUT = "text,words,text+words|request,answer,both;images,answer,refusal,one:v1"
"""Prompt mode: the user's text, the words read in images, both together. Response mode: the request (with the words of
its images), the answer, both together. Then: has images, has an answer, P(the answer refuses), 1."""
MAX_ROWS = 4096
SCALE = DIM**0.5  # entries of a unit vector -> variance 1

Rows = NDArray[np.float32]


class TooLong(Exception):
    """More windows than the guard looks at; the message says how many."""


class _Plan(NamedTuple):
    """The texts of one row, to be embedded together with those of all other rows."""

    texts: tuple[str, str, str]
    flags: tuple[float, float, float, float]


def features(exchanges: Sequence[Exchange], seen: Sequence[Sequence[Reading]]) -> list[Rows]:
    """Per exchange an array (windows, WIDTH); `seen` holds what the eye read, image by image.

    Raises TooLong for a text of too many windows.
    """
    model = minilm()
    return _embedded([_plans(exchange, read, model) for exchange, read in zip(exchanges, seen, strict=True)], model)


def sentence_features(exchanges: Sequence[Exchange], seen: Sequence[Sequence[Reading]]) -> list[Rows]:
    """The same for the single sentences of requests, (sentences, WIDTH), beside the words of all images: what a window
    drowns in its mean. No rows for a request of one sentence, and none for answers, whose windows are looked at with
    the request."""
    model = minilm()
    plans = []
    for exchange, read in zip(exchanges, seen, strict=True):
        words = _words(read) if exchange.answer is None else ""
        flags = (float(bool(read)), 0.0, 0.0, 1.0)
        own = sentences(_text(exchange), model) if exchange.answer is None else []
        short = (windows(words, model) or [""])[0]
        plans.append([_Plan((each, short, _both(each, short)), flags) for each in own[:MAX_ROWS]])
    return _embedded(plans, model)


def _embedded(plans: Sequence[Sequence[_Plan]], model: MiniLM) -> list[Rows]:
    texts = list(dict.fromkeys(text for rows in plans for row in rows for text in row.texts if text))
    vectors = dict(zip(texts, model(texts) * SCALE, strict=True)) if texts else {}
    blank = np.zeros(DIM, np.float32)
    made = (
        [np.concatenate([*(vectors.get(t, blank) for t in row.texts), np.array(row.flags, np.float32)]) for row in own]
        for own in plans
    )
    return [np.stack(rows).astype(np.float32) if rows else np.zeros((0, WIDTH), np.float32) for rows in made]


def _text(exchange: Exchange) -> str:
    return "\n".join(message.text for message in exchange.conversation if message.text.strip())


def _words(seen: Sequence[Reading]) -> str:
    return " ".join(reading.words for reading in seen if reading.words)


def _plans(exchange: Exchange, seen: Sequence[Reading], model: MiniLM) -> list[_Plan]:
    text, words = _text(exchange), _words(seen)
    has_images = float(bool(seen))
    if exchange.answer is None:
        left, right = windows(text, model) or [""], windows(words, model) or [""]
        flags = (has_images, 0.0, 0.0, 1.0)
    else:
        left = windows(f"{words} {text}".strip(), model) or [""]
        right = windows(exchange.answer, model) or [""]
        refusal = float(refusal_probability([exchange.answer])[0]) if exchange.answer.strip() else 0.0
        flags = (has_images, 1.0, refusal, 1.0)
    if len(left) * len(right) > MAX_ROWS:
        raise TooLong(f"{len(left)} x {len(right)} windows; at most {MAX_ROWS} are looked at")
    return [_Plan((a, b, _both(a, b)), flags) for a in left for b in right]


def _both(left: str, right: str) -> str:
    """Both texts as one; nothing when one of them is empty, since it would say the same again."""
    return f"{left} {right}" if left and right else ""
