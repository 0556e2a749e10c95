"""What the tiny guard sees of an exchange: sentence embeddings in fixed places, one row per window."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
PAIRS = 2
"""Rows of an exchange whose two texts are embedded together at a time, the likeliest first."""
SCALE = DIM**0.5  # entries of a unit vector -> variance 1

Rows = NDArray[np.float32]
Scores = Callable[[Rows], NDArray[np.float64]]


class TooLong(Exception):
    """More windows than the guard looks at; the message says how many."""


class _Plan(NamedTuple):
    """The texts of one row, to be embedded together with those of all other rows."""

    texts: tuple[str, str, str]
    flags: tuple[float, float, float, float]


def features(
    exchanges: Sequence[Exchange], seen: Sequence[Sequence[Reading]], nets: Sequence[Scores] | None = None
) -> list[Rows]:
    """Per exchange an array (windows, WIDTH); `seen` holds what the eye read, image by image.

    With `nets`, one for each exchange, only the largest score of its rows counts. Then two texts of a row are embedded
    together only where that can matter: rows are scored with the mean of the two embeddings in the place of the third
    (of 43 long answers no verdict differs so, and one worst probability by 0.01), and the likeliest are embedded,
    PAIRS at a time, until no other row scores above the worst of them. The others keep the mean. Raises TooLong for a
    text of too many windows.
    """
    model = minilm()
    plans = [_plans(exchange, read, model) for exchange, read in zip(exchanges, seen, strict=True)]
    return _embedded(plans, model) if nets is None else _worst_embedded(plans, nets, model)


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
    vectors = _vectors((text for rows in plans for row in rows for text in row.texts), model)
    return [_rows(own, vectors) for own in plans]


def _worst_embedded(plans: Sequence[Sequence[_Plan]], nets: Sequence[Scores], model: MiniLM) -> list[Rows]:
    """See `features`."""
    first = (text for own in plans for row in own for text in (row.texts if len(own) <= PAIRS else row.texts[:2]))
    vectors = _vectors(first, model)
    found = [_rows(own, vectors) for own in plans]
    left = {
        number: {place for place, row in enumerate(own) if row.texts[2] and row.texts[2] not in vectors}
        for number, own in enumerate(plans)
    }
    while chosen := {n: own for n, rows in left.items() if (own := _next(nets[n](found[n]), rows))}:
        vectors = _vectors((plans[n][place].texts[2] for n, own in chosen.items() for place in own), model)
        for n, own in chosen.items():
            for place in own:
                found[n][place, 2 * DIM : 3 * DIM] = vectors[plans[n][place].texts[2]]
            left[n] -= set(own)
    return found


def _next(scores: NDArray[np.float64], left: set[int]) -> list[int]:
    """The likeliest of the rows that are left, while one of them is the worst of all."""
    order = [int(place) for place in np.argsort(-scores, kind="stable")]
    return [place for place in order if place in left][:PAIRS] if left and order[0] in left else []


def _vectors(texts: Iterable[str], model: MiniLM) -> dict[str, Rows]:
    new = list(dict.fromkeys(text for text in texts if text))
    return dict(zip(new, model(new) * SCALE, strict=True)) if new else {}


def _rows(plans: Sequence[_Plan], vectors: Mapping[str, Rows]) -> Rows:
    """Rows of embedded texts; where two were not embedded together, the mean of both stands for it."""
    made = np.zeros((len(plans), WIDTH), np.float32)
    blank = np.zeros(DIM, np.float32)
    for row, plan in zip(made, plans, strict=True):
        left, right, both = plan.texts
        row[:DIM], row[DIM : 2 * DIM] = vectors.get(left, blank), vectors.get(right, blank)
        if both:
            mean = row[:DIM] + row[DIM : 2 * DIM]
            row[2 * DIM : 3 * DIM] = vectors[both] if both in vectors else mean * (SCALE / np.linalg.norm(mean))
        row[3 * DIM :] = plan.flags
    return made


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
