"""Ranks with their uncertainty: a league table without it ranks noise."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from counterpoise.base import InputError

from ._cluster import RESAMPLES, resample
from ._items import Floats, Labels, Values, as_floats, codes
from ._special import normal_quantile


class Rank(NamedTuple):
    """Place by the mean (1 is best), its 95 % interval over resamples, and the tie group (1 is best)."""

    rank: int
    low: int
    high: int
    group: int
    first: float
    """Share of the resamples in which it has the first place, alone or with others."""


def rank_intervals(
    scores: Mapping[str, Values],
    clusters: Labels | None = None,
    *,
    lower_is_better: bool = False,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Rank]:
    """Bootstrap the items (or clusters), rank all models in each resample, report each model's rank interval.

    All models are scored on the same items in the same order; an item that is unscored for one model is left out for
    all. Models whose intervals overlap in a chain share a tie group. Raises InputError when fewer than two clusters
    are scored by all.
    """
    if not scores:
        raise InputError("ranks: no model given")
    names = list(scores)
    table = [as_floats(scores[name], name) for name in names]
    if len({column.size for column in table}) > 1:
        raise InputError("ranks: the models have different numbers of items; match them by id first")
    items = np.column_stack(table)
    known = ~np.isnan(items).any(axis=1)
    code = np.unique(codes(clusters, len(items))[known], return_inverse=True)[1]
    if not known.any() or code.max() < 1:
        raise InputError("ranks: fewer than two clusters are scored for every model")
    sums = np.zeros((int(code.max()) + 1, len(names) + 1))
    np.add.at(sums, code, np.column_stack([items[known], np.ones(known.sum())]))
    drawn = resample(sums, resamples, seed)
    sign = 1.0 if lower_is_better else -1.0
    observed = sign * items[known].mean(axis=0)
    return dict(zip(names, places(sign * drawn[:, :-1] / drawn[:, -1:], observed, level), strict=True))


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
    so the ranks are then wider than those of `rank_intervals`. Raises InputError for fewer than two results, different
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
