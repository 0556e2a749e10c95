"""Ranks with their uncertainty: a league table without it ranks noise."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from counterpoise.base import InputError

from ._items import Floats
from ._special import normal_quantile


class Rank(NamedTuple):
    """Place by the mean (1 is best), its 95 % interval over resamples, and the tie group (1 is best)."""

    rank: int
    low: int
    high: int
    group: int
    first: float
    """Share of the resamples in which it has the first place, alone or with others."""


def rank_normal(
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    lower_is_better: bool = False,
    level: float = 0.95,
    resamples: int = 4_000,
    seed: int = 0,
) -> list[Rank]:
    """Ranks of independent results of which only value and interval are known: the parametric bootstrap.

    Each result is drawn from a normal distribution around its value whose two halves have the spreads that the ends of
    its interval imply, so that lopsided intervals near 0 and 1 stay lopsided. Results on the same items vary together,
    so the ranks are then wider than they need to be. Raises InputError for fewer than two results, different
    numbers of them, or an interval that does not hold its value.
    """
    value, low, high = (np.asarray(each, float) for each in (values, lows, highs))
    if value.size < 2 or not value.size == low.size == high.size:
        raise InputError("ranks: expected the values, lower and upper ends of at least two results")
    if (low > value).any() or (value > high).any() or not np.isfinite([value, low, high]).all():
        raise InputError("ranks: a value lies outside its interval")
    z = normal_quantile((1 + level) / 2)
    drawn = np.random.default_rng(seed).standard_normal((resamples, value.size))
    spread = np.where(drawn < 0, (value - low) / z, (high - value) / z)
    sign = 1.0 if lower_is_better else -1.0
    return places(sign * (value + drawn * spread), sign * value, level)


def places(badness: Floats, observed: Floats, level: float) -> list[Rank]:
    """Ranks from resampled numbers (resamples, models), where small is good; equal numbers share the better place."""
    badness, observed = np.round(badness, 12), np.round(observed, 12)
    place = np.empty(badness.shape, int)
    for index in range(badness.shape[1]):  # one model at a time bounds memory
        place[:, index] = 1 + (badness < badness[:, index : index + 1]).sum(axis=1)
    low, high = np.quantile(place, [(1 - level) / 2, (1 + level) / 2], axis=0, method="nearest").astype(int)
    now = 1 + (observed[None, :] < observed[:, None]).sum(axis=1)
    result: dict[int, Rank] = {}
    group, reach = 0, 0
    for index in np.lexsort((high, low)):
        group += low[index] > reach
        reach = max(reach, int(high[index]))
        first = float((place[:, index] == 1).mean())
        result[int(index)] = Rank(int(now[index]), int(low[index]), int(high[index]), int(group), first)
    return [result[index] for index in range(observed.size)]
