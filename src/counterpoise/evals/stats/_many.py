"""Many comparisons at once, and what counts as not worse."""

from collections.abc import Sequence

import numpy as np

from counterpoise.base import InputError


def holm(p: Sequence[float], least: Sequence[float] | None = None) -> list[float]:
    """Holm-adjusted p values (family-wise error): p_(j) -> max_{i<=j} min(1, (m-i+1) p_(i)) (Holm 1979).

    `least`: the smallest p that each test can reach, 2^(1-k) where k items changed. A test whose least exceeds p_(i)
    cannot have been as small by chance and is not counted in the m-i+1, so that rows on which next to nothing changed
    take no power from the others (Tarone 1990, Biometrics 46:515; Westfall and Wolfinger 1997, Am Stat 51:3).
    """
    order, ordered = _ascending(p)
    floor = np.zeros(len(p)) if least is None else np.asarray(least, dtype=float)[order]
    if floor.size != ordered.size or (floor > ordered + 1e-9).any():
        raise InputError("p values: expected as many smallest p values, each not above its p")
    counts = [np.count_nonzero(floor[place:] <= value + 1e-9) for place, value in enumerate(ordered)]
    return _restore(order, np.maximum.accumulate(np.minimum(1.0, counts * ordered)))


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p values for the false discovery rate: p_(j) -> min_{i>=j} min(1, m p_(i) / i) (1995)."""
    order, ordered = _ascending(p)
    raw = np.minimum(1.0, len(p) * ordered / np.arange(1, len(p) + 1))
    return _restore(order, np.minimum.accumulate(raw[::-1])[::-1])


def non_inferior(low: float, margin: float = 0.01) -> bool:
    """True when "not worse by more than `margin`" is shown: the lower end of the paired interval exceeds -margin.

    The difference is after - before of a metric where more is better; for one where less is better give -high.
    """
    if margin < 0:
        raise InputError(f"margin = {margin}: give a positive number of points, such as 0.01")
    return low > -margin


def _ascending(p: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(p, dtype=float)
    if not values.size:
        raise InputError("p values: none given; give at least one")
    if np.isnan(values).any() or values.min() < 0 or values.max() > 1:
        raise InputError("p values must lie between 0 and 1")
    order = np.argsort(values, kind="stable")
    return order, values[order]


def _restore(order: np.ndarray, values: np.ndarray) -> list[float]:
    result = np.empty_like(values)
    result[order] = values
    return [float(value) for value in result]
