"""The rate of one scorecard row, and its bounds when some items could not be scored."""

from typing import NamedTuple

import numpy as np

from counterpoise.base import InputError

from ._cluster import wilson_effective
from ._items import Labels, Values, as_floats, codes
from ._proportion import Interval

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
