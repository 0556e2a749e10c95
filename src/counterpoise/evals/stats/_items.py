"""From what a scorer returned (numbers and None) to arrays, with the checks every statistic needs."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError

Values = Sequence[float | int | bool | None] | NDArray[np.float64]
Labels = Sequence[Hashable]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def as_floats(values: Values, what: str = "values") -> Floats:
    """A float array with NaN where the item is unscored. Raises InputError when there is no item at all."""
    array = np.array([np.nan if value is None else float(value) for value in values], dtype=float)
    if not array.size:
        raise InputError(f"{what}: no items; give at least one")
    return array


def codes(labels: Labels | None, n: int, what: str = "clusters") -> Ints:
    """Cluster numbers 0..G-1 in order of first appearance; None means that every item stands alone."""
    if labels is None:
        return np.arange(n)
    if len(labels) != n:
        raise InputError(f"{what}: {len(labels)} labels for {n} items; give one per item")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)


def cluster_sums(values: Floats, code: Ints) -> tuple[Floats, Floats]:
    """(sum, number of items) of each cluster that has items."""
    count = np.bincount(code).astype(float)
    total = np.bincount(code, weights=values).astype(float)
    return total[count > 0], count[count > 0]
