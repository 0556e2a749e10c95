"""Features of many rows in bounded memory: images are read in blocks, texts embedded in blocks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.base import InputError, Progress, atomic_write

from .._labelled import Labelled, content_key
from ._eye import eye
from ._features import LAYOUT, Rows, TooLong, features
from ._minilm import SHA256
from ._readings import images_of, readings

BLOCK = 256


def features_of(rows: Sequence[Labelled], kept: Path | None = None) -> list[Rows]:
    """Features of each row, (windows, WIDTH); blocks that are `kept` in a folder are not computed again.

    Raises InputError naming the rows that cannot be looked at.
    """
    found: list[Rows] = []
    with Progress("tiny, features", len(rows)) as bar:
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            file = None if kept is None else kept / f"features-{_key(block)}.npz"
            if file is not None and file.is_file():
                with np.load(file) as stored:
                    found += [stored[str(n)] for n in range(len(block))]
            else:
                own = _features(block)
                found += own
                if file is not None:
                    arrays: dict[str, Any] = {str(n): each for n, each in enumerate(own)}
                    with atomic_write(file, "wb") as opened:
                        np.savez(opened, **arrays)
            bar.advance(len(block))
    return found


def _features(block: Sequence[Labelled]) -> list[Rows]:
    exchanges = [row.exchange for row in block]
    try:
        return features(exchanges, readings(exchanges))
    except TooLong as error:
        raise InputError(f"rows {block[0].id} to {block[-1].id}: {error}; leave the long one out") from error


def _key(block: Sequence[Labelled]) -> str:
    """Of everything that the features of a block depend on, but the code that makes them."""
    from counterpoise.evals.scorers import refusal_probability

    told = refusal_probability(["I can't help with that.", "Here is how: begin early."]).tolist()
    seen = [eye().revision] if any(images_of(row.exchange) for row in block) else []
    return content_key(block, LAYOUT, SHA256, str(told), *seen)
