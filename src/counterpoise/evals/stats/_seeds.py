"""One method trained with several seeds and measured on the same items: the seeds' spread belongs into the interval."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from counterpoise.base import InputError

from ._items import Floats, Labels, Values, as_floats
from ._paired import paired_difference
from ._proportion import Interval
from ._rate import rate
from ._special import normal_quantile, t_quantile


class Seeded(NamedTuple):
    """A mean over items and seeds. `value` is None when nothing could be scored."""

    value: float | None
    low: float | None
    high: float | None
    n_items: int
    """Items that at least one seed has scored (of a difference: on both sides)."""
    n_seeds: int
    n_unscored: int
    """Answers, over all seeds, that could not be scored."""
    seeds: tuple[float, ...]
    """The mean of each seed by itself."""


class SeededDifference(NamedTuple):
    """mean(a - b) over items and seeds, with its interval and two-sided p."""

    value: float
    low: float
    high: float
    p: float
    n_items: int
    changed: int
    """Clusters with a difference: an exact p cannot fall below 2^(1-changed)."""


def seeded_rate(runs: Sequence[Values], clusters: Labels | None = None, level: float = 0.95) -> Seeded:
    """The rate over `runs`, one list of values for each seed, all of the same items in the same order.

    An item's value is its mean over the seeds that scored it; `rate` gives the interval over items. To its ends the
    distance t * s / sqrt(S) is added in squares (MOVER): s^2 is the variance of the S seeds' means less what chance in
    single items makes of it (two-way random effects), t Student's quantile with S - 1 degrees of freedom. Coverage of
    95 % intervals in simulations with 80 items: 92 to 99 % for two seeds, 95 to 100 % for three and more. One seed
    shows no spread and nothing is added, so that it says less than its interval shows. Raises InputError for no run,
    or runs of different lengths.
    """
    table = _table(runs)
    means, known = _over_seeds(table)
    found = rate([float(v) if k else None for v, k in zip(means, known, strict=True)], clusters, level)
    each = _by_seed(table)
    unscored = int(np.isnan(table).sum())
    if found.value is None or found.low is None or found.high is None:
        return Seeded(None, None, None, 0, len(runs), unscored, each)
    low, high = _widened(found.value, Interval(found.low, found.high), _reach(table, level))
    return Seeded(found.value, max(0.0, low), min(1.0, high), int(known.sum()), len(runs), unscored, each)


def seeded_difference(
    a: Sequence[Values], b: Sequence[Values], clusters: Labels | None = None, level: float = 0.95
) -> SeededDifference | None:
    """mean(a - b) over the same items: paired by item, and by seed where both sides have equally many.

    Interval and p as in `paired_difference` over the items' means; the spread between seeds is added as in
    `seeded_rate`, and p is then at least that of a normal distribution with both spreads. A side with one run (the
    untouched model) is the same for every seed of the other. None when fewer than two clusters are scored on both
    sides. Raises InputError for two sides with other numbers of seeds, neither of them 1.
    """
    left, right = _table(a), _table(b)
    if left.shape[1] != right.shape[1]:
        raise InputError(f"seeds: {left.shape[1]} items against {right.shape[1]}; match them by id")
    if len(left) != len(right) and 1 not in (len(left), len(right)):
        raise InputError(f"seeds: {len(left)} against {len(right)} runs; give the same seeds on both sides")
    (one, here), (two, there) = _over_seeds(left), _over_seeds(right)
    both = here & there
    labels = range(both.size) if clusters is None else list(clusters)
    kept = [label for label, inside in zip(labels, both, strict=True) if inside]
    if len(set(kept)) < 2:
        return None
    found = paired_difference(one[both].tolist(), two[both].tolist(), kept, level)
    reach = _reach(left - right, level)
    low, high = _widened(found.value, Interval(found.low, found.high), reach)
    spread = math.hypot((found.high - found.low) / 2, reach) / normal_quantile((1 + level) / 2)
    p = 2 * NormalDist().cdf(-abs(found.value) / spread) if reach and spread else 0.0
    return SeededDifference(
        found.value, max(-1.0, low), min(1.0, high), max(found.p, p), int(both.sum()), found.changed
    )


def _table(runs: Sequence[Values]) -> Floats:
    """(S, I) with NaN for what is unscored."""
    rows = [as_floats(values) for values in runs]
    if not rows or len({row.size for row in rows}) > 1:
        raise InputError(f"seeds: runs of {[row.size for row in rows]} items; give each the same items")
    return np.stack(rows)


def _over_seeds(table: Floats) -> tuple[Floats, "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"]:
    """Each item's mean over the seeds that scored it (I,), and whether any did."""
    known = ~np.isnan(table)
    count = known.sum(axis=0)
    return np.where(known, table, 0.0).sum(axis=0) / np.maximum(count, 1), count > 0


def _by_seed(table: Floats) -> tuple[float, ...]:
    """Each seed's mean over the items that all seeds scored; over its own where there is no such item."""
    whole = ~np.isnan(table).any(axis=0)
    rows = table[:, whole] if whole.any() else table
    return tuple(float(np.nanmean(row)) for row in rows if not np.isnan(row).all())


def _reach(table: Floats, level: float) -> float:
    """Half the width of Student's interval of the seeds' mean; 0 for a single one."""
    whole = table[:, ~np.isnan(table).any(axis=0)]
    seeds, items = whole.shape
    if seeds < 2 or not items:
        return 0.0
    chance = float(whole.var(axis=0, ddof=1).mean()) / items
    spread = max(0.0, float(whole.mean(axis=1).var(ddof=1)) - chance)
    return t_quantile((1 + level) / 2, seeds - 1) * math.sqrt(spread / seeds)


def _widened(value: float, ends: Interval, reach: float) -> Interval:
    return Interval(value - math.hypot(value - ends.low, reach), value + math.hypot(ends.high - value, reach))
