"""The mean of groups' rates, each group with the same weight, where groups may be tiny and may share clusters."""

import math

import numpy as np

from ._cluster import effective_items
from ._items import Floats, Ints, Labels, Values, as_floats, codes
from ._proportion import Interval, clopper_pearson, wilson
from ._rate import Rate
from ._special import normal_quantile, t_quantile


def macro_rate(values: Values, groups: Labels, clusters: Labels | None = None, level: float = 0.95) -> Rate:
    """Mean of the groups' rates, each group (scenario) with the same weight; `rate` of all items is the pooled one.

    The interval is the wider, on each side, of two, because each fails where the other holds:

    - `_from_groups`: each group's own exact interval, put together (MOVER). Right where a group has few items or its
      items all agree; too short on the inner side over many such groups.
    - `_from_clusters`: Wilson's interval at the variance between clusters. Right over many tiny groups; without an
      estimate where a group's items all agree.

    A cluster with items in several groups (one question asked in several ways) makes their rates rise and fall
    together, and both count that. Groups without a scored item are left out. Raises InputError as `rate` does.
    """
    array = as_floats(values)
    group, cluster = codes(groups, array.size, "groups"), codes(clusters, array.size)
    mask = ~np.isnan(array)
    if not mask.any():
        return Rate(None, None, None, 0, array.size)
    kept, group, cluster = array[mask], _numbered(group[mask]), _numbered(cluster[mask])
    means = np.bincount(group, kept) / np.bincount(group)
    mean = float(means.mean())
    found = [
        _from_groups(kept, group, cluster, means, level),
        _from_clusters(kept, group, cluster, means, level),
    ]
    low, high = min(each.low for each in found), max(each.high for each in found)
    return Rate(mean, low, high, kept.size, int((~mask).sum()))


def _from_groups(values: Floats, group: Ints, cluster: Ints, means: Floats, level: float) -> Interval:
    """MOVER: the distances of each group's limits from its rate, added in squares and, where groups share clusters,
    with their correlation (Zou, Huang and Zhang 2009, Comput Stat Data Anal 53:1080). The limits are Clopper and
    Pearson's at the effective number of items (Korn and Graubard 1998)."""
    parts = [group == number for number in range(means.size)]
    sizes = [effective_items(values[part], cluster[part], level) for part in parts]
    ends = np.array([clopper_pearson(_bounded(m * n, n), n, level) for m, n in zip(means.tolist(), sizes, strict=True)])
    together = _correlation(_residuals(values, group, cluster, means), group, cluster)
    down, up = (math.sqrt(each @ together @ each) / means.size for each in np.abs(ends - means[:, None]).T)
    mean = float(means.mean())
    return Interval(max(0.0, mean - down), min(1.0, mean + up))


def _from_clusters(values: Floats, group: Ints, cluster: Ints, means: Floats, level: float) -> Interval:
    """Wilson's interval with the n at which p (1 - p) / n is the linearised variance between clusters (Binder 1983,
    Int Stat Rev 51:279), scaled by (z / t)^2 as Korn and Graubard do, on clusters less strata degrees of freedom.

    Strata are groups, or sets of groups where clusters cross. Groups of one cluster, which show no variance within,
    count as one stratum, as surveys collapse such strata."""
    mean, several = float(means.mean()), _clusters_of(group, cluster) > 1
    centres = means.copy()
    if not several.all():
        centres[~several] = means[~several].mean()
    table = _residuals(values, group, cluster, centres)
    variance = float(np.square(table.sum(axis=1)).sum()) / means.size**2
    if not variance > 0:
        return Interval(mean, mean)
    stratum = np.arange(means.size)
    stratum[~several] = -1
    freedom = max(1, table.shape[0] - _strata(stratum[group], cluster))
    scale = normal_quantile((1 + level) / 2) / t_quantile((1 + level) / 2, freedom)
    n = mean * (1 - mean) / variance * scale**2
    return wilson(_bounded(mean * n, n), n, level)


def _residuals(values: Floats, group: Ints, cluster: Ints, centres: Floats) -> Floats:
    """What each cluster adds to each group's rate beyond `centres`; shape (clusters, groups).

    Scaled by sqrt(G / (G - 1)) with a group's G clusters, so that the sum of squares of a column is the usual estimate
    of its rate's variance. Groups of one cluster are scaled by their own number."""
    n = np.bincount(group)
    clusters = _clusters_of(group, cluster)
    counted = clusters.copy()
    counted[clusters == 1] = max(2, int(np.count_nonzero(clusters == 1)))
    part = (values - centres[group]) / n[group] * np.sqrt(counted / (counted - 1))[group]
    table = np.zeros((cluster.max() + 1, n.size))
    np.add.at(table, (cluster, group), part)
    return table


def _correlation(table: Floats, group: Ints, cluster: Ints) -> Floats:
    """Of the groups' rates, from the clusters they share; 0 where they share none. A negative estimate counts as 0: it
    would shorten the interval by chance. Where a group shows no variance there is no estimate, and the shared part of
    the clusters is taken, the largest that there can be."""
    member = np.zeros(table.shape)
    member[cluster, group] = 1
    count = member.sum(axis=0)
    most = member.T @ member / np.sqrt(np.outer(count, count))
    length = np.sqrt(np.square(table).sum(axis=0))
    products = np.outer(length, length)
    rows = table.T @ table
    found = np.where(products > 0, rows / np.where(products > 0, products, 1), most)
    np.fill_diagonal(found, 1.0)
    return np.clip(found, 0.0, 1.0)


def _clusters_of(group: Ints, cluster: Ints) -> Ints:
    """Number of clusters in each group."""
    pairs = np.unique(np.stack([group, cluster]), axis=1)
    return np.bincount(pairs[0])


def _strata(group: Ints, cluster: Ints) -> int:
    """Number of sets of groups that no cluster joins."""
    home = {number: number for number in np.unique(group).tolist()}

    def root(number: int) -> int:
        while home[number] != number:
            number = home[number]
        return number

    first: dict[int, int] = {}
    for number, label in np.unique(np.stack([group, cluster]), axis=1).T.tolist():
        home[root(number)] = root(first.setdefault(label, number))
    return sum(number == each for number, each in home.items())


def _numbered(code: Ints) -> Ints:
    """Renumbered without gaps."""
    found: Ints = np.unique(code, return_inverse=True)[1].astype(np.int64)
    return found


def _bounded(k: float, n: float) -> float:
    """A product m * n with m <= 1 may exceed n by a rounding."""
    return min(k, n)
