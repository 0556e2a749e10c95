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
from ._windows import windows

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
    plans = [_plans(exchange, read, model) for exchange, read in zip(exchanges, seen, strict=True)]
    texts = list(dict.fromkeys(text for rows in plans for row in rows for text in row.texts if text))
    vectors = dict(zip(texts, model(texts) * SCALE, strict=True)) if texts else {}
    blank = np.zeros(DIM, np.float32)
    return [
        np.stack(
            [
                np.concatenate([*(vectors.get(t, blank) for t in row.texts), np.array(row.flags, np.float32)])
                for row in own
            ]
        ).astype(np.float32)
        for own in plans
    ]


def _plans(exchange: Exchange, seen: Sequence[Reading], model: MiniLM) -> list[_Plan]:
    text = "\n".join(message.text for message in exchange.conversation if message.text.strip())
    words = " ".join(reading.words for reading in seen if reading.words)
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
