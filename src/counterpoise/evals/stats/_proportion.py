"""One proportion: Wilson, Clopper-Pearson, and what zero events prove."""

import math
from typing import NamedTuple

from counterpoise.base import InputError

from ._special import beta_quantile, normal_quantile


class Interval(NamedTuple):
    """A confidence interval (or a pair of bounds)."""

    low: float
    high: float


def wilson(k: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of k successes in n trials, the default for every rate.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with p = k/n (Wilson 1927, JASA 22:209). `k` and `n` may
    be fractions: an effective number of items, or a mean of values in [0, 1], for which p(1-p) is an upper bound.
    """
    _check(k, n, level)
    z = normal_quantile((1 + level) / 2)
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(max(p * (1 - p), 0) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(0.0 if k == 0 else max(0.0, centre - half), 1.0 if k == n else min(1.0, centre + half))


def clopper_pearson(k: float, n: float, level: float = 0.95) -> Interval:
    """The exact interval, for guarantees: its coverage is never below `level`.

    Beta quantiles (alpha/2; k, n-k+1) and (1-alpha/2; k+1, n-k) (Clopper and Pearson 1934, Biometrika 26:404). Both
    may be fractions, as an effective number of items is.
    """
    _check(k, n, level)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else beta_quantile(tail, k, n - k + 1)
    high = 1.0 if k == n else beta_quantile(1 - tail, k + 1, n - k)
    return Interval(low, high)


def effective_n(value: float, low: float, high: float, level: float = 0.95) -> float:
    """How many independent items a rate with this interval is worth: the n of which it is Wilson's interval.

    Each limit u of Wilson's interval satisfies (u - p)^2 = z^2 u (1 - u) / n; the wider side decides. Infinite for an
    interval without width. Raises InputError when the value lies outside its interval.
    """
    if not 0 <= low <= value <= high <= 1:
        raise InputError(f"{value:g} ({low:g} to {high:g}): expected a rate inside its interval, both within 0 and 1")
    z = normal_quantile((1 + level) / 2)
    sizes = [z * z * end * (1 - end) / (end - value) ** 2 for end in (low, high) if end != value and 0 < end < 1]
    return min(sizes, default=math.inf)


def zero_event_bound(n: float, level: float = 0.95) -> float:
    """Largest rate that 0 events in n items leave possible, one-sided: 1 - (1 - level)^(1/n), about 3/n at 95 %."""
    _check(0, n, level)
    return float(1 - (1 - level) ** (1 / n))


def _check(k: float, n: float, level: float) -> None:
    if not n > 0:
        raise InputError(f"n = {n}: a rate needs at least one scored item")
    if not 0 <= k <= n:
        raise InputError(f"k = {k}: successes must lie between 0 and n = {n}")
    if not 0 < level < 1:
        raise InputError(f"level = {level}: give a confidence level between 0 and 1, such as 0.95")
