"""Means of items that come in clusters (a question behind three images, a family, repeated epochs)."""

import math

import numpy as np

from ._items import Floats, Ints, cluster_sums
from ._proportion import Interval, wilson
from ._special import normal_quantile, t_quantile

FEW_CLUSTERS = 20
"""With fewer that changed, the bootstrap over clusters is not trusted alone (Cameron, Gelbach and Miller 2008)."""
RESAMPLES = 10_000


def resample(table: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Sums of `table` (clusters, columns) over `resamples` bootstrap samples of its rows; shape (resamples, columns).

    Rows are often equal (a pair of verdicts has few outcomes), so only the multinomial counts of the *distinct* rows
    are drawn: the same distribution, far less work, and independent of the order of the items.
    """
    rows, counts = np.unique(np.round(table, 9), axis=0, return_counts=True)
    random = np.random.default_rng(seed)
    if 4 * len(rows) < len(table) or len(rows) < 64:
        return np.asarray(random.multinomial(len(table), counts / len(table), size=resamples) @ rows)
    ordered = np.repeat(rows, counts, axis=0)
    sums = np.empty((resamples, table.shape[1]))
    step = max(1, 2_000_000 // len(table))  # bounds memory
    for start in range(0, resamples, step):
        drawn = random.integers(0, len(table), size=(min(step, resamples - start), len(table)), dtype=np.int32)
        for column in range(table.shape[1]):
            sums[start : start + step, column] = ordered[:, column].take(drawn).sum(axis=1)
    return sums


def percentiles(samples: Floats, level: float) -> Interval:
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def standard_error(values: Floats, code: Ints) -> float:
    """SE^2 = G/(G-1) / n^2 * sum_g (sum_{i in g} (x_i - m))^2 (Liang and Zeger 1986; Miller 2024, arXiv 2411.00640)."""
    sums, _ = cluster_sums(values - values.mean(), code)
    clusters = len(sums)
    return float(math.sqrt(clusters / (clusters - 1) * np.square(sums).sum()) / values.size)


def design_effect(values: Floats, code: Ints) -> float:
    """Clustered variance over the variance with every item on its own; 1 when all values agree."""
    naive = standard_error(values, np.arange(values.size)) if values.size > 1 else 0.0
    return standard_error(values, code) ** 2 / naive**2 if naive > 0 else 1.0


def effective_items(values: Floats, code: Ints, level: float = 0.95) -> float:
    """How many independent items the mean is worth: n / design effect, for rates near 0 or 1 whose items are clustered.

    The effective n is further scaled by (z / t)^2 on G-1 degrees of freedom, because the design effect is itself an
    estimate (Korn and Graubard 1998, Survey Methodology 24:193). It never exceeds n. When all items agree there is no
    estimate, and every cluster counts as one observation.
    """
    groups = np.unique(code).size
    if groups in (1, values.size) or np.ptp(values) == 0:
        return float(groups)
    ratio = normal_quantile((1 + level) / 2) / t_quantile((1 + level) / 2, groups - 1)
    return min(values.size / max(design_effect(values, code), 1 / groups) * ratio**2, float(values.size))


def wilson_effective(values: Floats, code: Ints, level: float = 0.95) -> Interval:
    """Wilson's interval of the mean with `effective_items`."""
    n = effective_items(values, code, level)
    return wilson(float(values.mean()) * n, n, level)
