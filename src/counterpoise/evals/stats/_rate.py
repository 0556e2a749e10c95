"""The rate of one scorecard row, and its bounds when some items could not be scored."""

from typing import NamedTuple

import numpy as np

from counterpoise.base import InputError

from ._cluster import wilson_effective
from ._items import Labels, Values, as_floats, codes
from ._proportion import Interval, effective_n, wilson

INCOMPLETE = 0.10
"""Above this share of unscored items a row is incomplete and gets no rank."""
SHOW_BOUNDS = 0.02
"""Above this share the bounds belong into the headline."""


class Rate(NamedTuple):
    """A rate with its 95 % interval; the three numbers are None when no item could be scored."""

    value: float | None
    low: float | None
    high: float | None
    n_scored: int
    n_unscored: int

    @property
    def bounds(self) -> Interval:
        """Worst and best case: every unscored item a failure, every unscored item a success."""
        return bounds((self.value or 0.0) * self.n_scored, self.n_scored, self.n_unscored)

    @property
    def unscored_share(self) -> float:
        return self.n_unscored / (self.n_scored + self.n_unscored)

    @property
    def show_bounds(self) -> bool:
        return self.unscored_share > SHOW_BOUNDS

    @property
    def incomplete(self) -> bool:
        return self.unscored_share > INCOMPLETE


def rate(values: Values, clusters: Labels | None = None, level: float = 0.95) -> Rate:
    """The rate of a row: mean of the scored items (0, 1, or a share between), None items counted apart.

    Wilson's interval; with the effective number of items when cluster labels repeat. All items unscored gives a rate
    of None. Raises InputError for no items at all, values outside [0, 1], or a wrong number of labels.
    """
    array = as_floats(values)
    code = codes(clusters, array.size)
    mask = ~np.isnan(array)
    kept = array[mask]
    if not kept.size:
        return Rate(None, None, None, 0, array.size)
    if kept.min() < 0 or kept.max() > 1:
        raise InputError(f"values: found {kept.min():g} to {kept.max():g}; a rate needs values between 0 and 1")
    low, high = wilson_effective(kept, code[mask], level)
    return Rate(float(kept.mean()), low, high, kept.size, array.size - kept.size)


def bounds(successes: float, n_scored: int, n_unscored: int) -> Interval:
    """[s / N, (s + u) / N] with N = n_scored + n_unscored: the unscored items counted both ways."""
    total = n_scored + n_unscored
    if total <= 0:
        raise InputError("bounds: no items; give at least one")
    return Interval(successes / total, (successes + n_unscored) / total)


def macro_rate(values: Values, groups: Labels, clusters: Labels | None = None, level: float = 0.95) -> Rate:
    """Mean of the groups' rates, each group (scenario) with the same weight; `rate` of all items is the pooled one.

    Interval: the wider, on each side, of two. Each group's own interval (`rate`), their distances to the group's rate
    added in squares (MOVER; Zou, Huang and Zhang 2009, Comput Stat Data Anal 53:1080): a group of few items, also one
    whose items all agree, is as uncertain as its own interval says. And Wilson's with the n that gives the average
    variance of an item, (1/K^2) sum_k 1/n_k times it: over many tiny groups the first is too short on the inner side.
    Groups without a scored item are left out.
    """
    array = as_floats(values)
    group, cluster = codes(groups, array.size, "groups"), codes(clusters, array.size)
    mask = ~np.isnan(array)
    if not mask.any():
        return Rate(None, None, None, 0, array.size)
    parts = [mask & (group == number) for number in np.unique(group[mask])]
    means = np.array([array[part].mean() for part in parts])
    ends = np.array([wilson_effective(array[part], cluster[part], level) for part in parts])
    mean = float(means.mean())
    down, up = (float(np.sqrt(np.square(ends[:, side] - means).sum())) / len(parts) for side in (0, 1))
    pooled = wilson_effective(array[mask], cluster[mask], level)
    worth = len(parts) ** 2 / sum(1 / part.sum() for part in parts)  # items of an even split that would vary as much
    n = worth * min(effective_n(float(array[mask].mean()), *pooled, level) / mask.sum(), 1.0)
    other = wilson(mean * n, n, level)
    low, high = min(other.low, max(0.0, mean - down)), max(other.high, min(1.0, mean + up))
    return Rate(mean, low, high, int(mask.sum()), int((~mask).sum()))
