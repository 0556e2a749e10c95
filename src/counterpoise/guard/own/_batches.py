"""Features of many rows in bounded memory: images are read in blocks, texts embedded in blocks."""

from collections.abc import Sequence

from counterpoise.base import InputError, Progress

from .._labelled import Labelled
from ._eye import Reading, eye
from ._features import Rows, TooLong, features, images_of

BLOCK = 256


def features_of(rows: Sequence[Labelled]) -> list[Rows]:
    """Features of each row, (windows, WIDTH). Raises InputError naming the row that cannot be looked at."""
    found: list[Rows] = []
    with Progress("tiny, features", len(rows)) as bar:
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            images = [image for row in block for image in images_of(row.exchange)]
            seen = iter(eye().read(images) if images else ())
            readings: list[list[Reading]] = [[next(seen) for _ in images_of(row.exchange)] for row in block]
            try:
                found += features([row.exchange for row in block], readings)
            except TooLong as error:
                raise InputError(f"rows {block[0].id} to {block[-1].id}: {error}; leave the long one out") from error
            bar.advance(len(block))
    return found
