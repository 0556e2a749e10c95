"""Features of many rows in bounded memory: images are read in blocks, texts embedded in blocks."""

from collections.abc import Sequence

from counterpoise.base import InputError, Progress

from .._labelled import Labelled
from ._features import Rows, TooLong, features
from ._readings import readings

BLOCK = 256


def features_of(rows: Sequence[Labelled]) -> list[Rows]:
    """Features of each row, (windows, WIDTH). Raises InputError naming the row that cannot be looked at."""
    found: list[Rows] = []
    with Progress("tiny, features", len(rows)) as bar:
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            exchanges = [row.exchange for row in block]
            try:
                found += features(exchanges, readings(exchanges))
            except TooLong as error:
                raise InputError(f"rows {block[0].id} to {block[-1].id}: {error}; leave the long one out") from error
            bar.advance(len(block))
    return found
