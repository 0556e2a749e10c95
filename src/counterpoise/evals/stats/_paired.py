"""Differences between paired items: before and after, harmful and benign twin, image and text."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from counterpoise.base import InputError

from ._cluster import FEW_CLUSTERS, RESAMPLES, percentiles, resample, standard_error
from ._items import Floats, Ints, Labels, Values, as_floats, cluster_sums, codes
from ._mcnemar import mcnemar_p, tango
from ._proportion import Interval


class Difference(NamedTuple):
    """mean(a - b) over pairs scored on both sides, with its paired interval.

    `p` is two-sided; `bounds` counts each pair with an unscored side as the worst and as the best case.
    `cautious` is Tango's interval with every cluster as one observation, for claims that nothing was lost: it never
    rises when one more item is lost, and needs no estimate of how alike the items of a cluster are.
    """

    value: float
    low: float
    high: float
    se: float
    p: float
    n_scored: int
    n_unscored: int
    n_clusters: int
    bounds: Interval
    cautious: Interval
    changed: int
    """Clusters whose sums differ: `p` cannot fall below 2^(1-changed)."""


def paired_difference(
    a: Values,
    b: Values,
    clusters: Labels | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Estimate mean(a_i - b_i) for items in the same order (match two runs by item id first).

    Interval: Tango's score interval where independent items changed by one and the same step, as yes/no values do;
    otherwise the percentile bootstrap over clusters, never two separate intervals. Where fewer than 20 clusters changed
    the bootstrap has too little to resample, and its interval is widened to hold Tango's with the largest step. p:
    sign-flip test over clusters, which is McNemar's where values are yes or no.
    Values lie in [0, 1]. Raises InputError for unequal lengths, no pair scored on both sides, or a single cluster.
    """
    left, right = as_floats(a, "first run"), as_floats(b, "second run")
    if left.size != right.size:
        raise InputError(f"paired difference: {left.size} items against {right.size}; match them by id")
    difference = left - right
    code = codes(clusters, difference.size)
    best = np.where(np.isnan(left), 1.0, left) - np.where(np.isnan(right), 0.0, right)
    worst = np.where(np.isnan(left), 0.0, left) - np.where(np.isnan(right), 1.0, right)
    return _estimate(difference, code, Interval(float(worst.mean()), float(best.mean())), level, resamples, seed)


def discrimination(
    refused: Values, harmful: Sequence[bool], families: Labels, level: float = 0.95, seed: int = 0
) -> Difference:
    """Refusal rate on harmful items minus refusal rate on their benign twins, paired by family.

    Items of one side of a family (its modalities, its repeats) are averaged first; each family has the same weight.
    A family without a scored item on both sides counts as unscored. 1 is perfect, 0 is blind refusal or none.
    """
    return _between_sides(refused, harmful, families, level, seed, "discrimination")


def modality_gap(
    success: Values, image: Sequence[bool], families: Labels, level: float = 0.95, seed: int = 0
) -> Difference:
    """ASR through images minus ASR through text, paired by family (the same intent). Give harmful items only."""
    return _between_sides(success, image, families, level, seed, "modality gap")


def _between_sides(
    values: Values, side: Sequence[bool], families: Labels, level: float, seed: int, what: str
) -> Difference:
    array = as_floats(values, what)
    code, first = codes(families, array.size, "families"), np.asarray(side, dtype=bool)
    if first.size != array.size:
        raise InputError(f"{what}: {first.size} sides for {array.size} items; give one per item")
    known = ~np.isnan(array)
    size = int(code.max()) + 1
    present = np.bincount(code[first], minlength=size) * np.bincount(code[~first], minlength=size) > 0
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: a side without a scored item
        means = [
            np.bincount(code[half & known], weights=array[half & known], minlength=size)
            / np.bincount(code[half & known], minlength=size)
            for half in (first, ~first)
        ]
    difference = (means[0] - means[1])[present]
    if not difference.size:
        raise InputError(f"{what}: no family has items on both sides; check the family labels")
    unknown = np.isnan(difference)
    total, lost = np.nansum(difference), int(unknown.sum())
    span = Interval(float((total - lost) / difference.size), float((total + lost) / difference.size))
    return _estimate(difference, np.arange(difference.size), span, level, RESAMPLES, seed)


def _estimate(difference: Floats, code: Ints, span: Interval, level: float, resamples: int, seed: int) -> Difference:
    mask = ~np.isnan(difference)
    if not mask.any():
        raise InputError(f"paired difference: none of {difference.size} pairs is scored on both sides")
    kept = difference[mask]
    sums, sizes = cluster_sums(kept, code[mask])
    groups = len(sums)
    if groups < 2:
        raise InputError("one cluster only: its spread cannot be estimated; use items of at least two clusters")
    if np.abs(kept).max() > 1:
        raise InputError(f"paired difference: found {np.abs(kept).max():g}; values must lie between 0 and 1")
    mean, size = float(kept.mean()), kept.size
    gained, lost = float(np.maximum(kept, 0).sum()), float(np.maximum(-kept, 0).sum())
    changed = int(np.count_nonzero(np.round(sums, 9)))
    worth = size**2 / float(np.square(sizes).sum())  # clusters of unequal size count for fewer (Kish 1965)
    cautious = tango(gained * worth / size, lost * worth / size, worth, level)
    steps = np.unique(np.round(np.abs(sums / sizes)[np.abs(sums) > 1e-9], 9))  # by how much clusters changed
    step = float(steps.max(initial=0.0)) or 1.0
    up, down = (float(np.maximum(sign * sums, 0).sum()) * worth / size / step for sign in (1, -1))
    sparse = Interval(*(step * end for end in tango(up, min(down, worth - up), worth, level)))
    if groups == size and steps.size <= 1:
        interval = sparse
    else:
        drawn = resample(np.column_stack([sums, sizes]), resamples, seed)
        interval = percentiles(drawn[:, 0] / drawn[:, 1], level)
        if changed < FEW_CLUSTERS or np.ptp(np.round(sums / sizes, 9)) == 0:
            interval = Interval(min(interval.low, sparse.low), max(interval.high, sparse.high))
    return Difference(
        mean,
        *interval,
        standard_error(kept, code[mask]),
        sign_flip_p(sums, resamples, seed),
        kept.size,
        difference.size - kept.size,
        groups,
        span,
        cautious,
        changed,
    )


def sign_flip_p(sums: Floats, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p of "no difference": share of random sign patterns of the clusters' sums that are as extreme.

    McNemar's p when all differences have one size, all patterns when there are at most 4,096 of them, otherwise
    (1 + hits) / (1 + resamples) (Phipson and Smyth 2010).
    """
    sizes, counts = np.unique(np.round(np.abs(sums[sums != 0]), 9), return_counts=True)
    observed = abs(float(sums.sum())) - 1e-9
    if not counts.size:
        return 1.0
    if counts.size == 1:  # one size of difference only: the flips are a binomial, so the p value is McNemar's
        n = int(counts[0])
        fewer = (n - math.ceil(observed / float(sizes[0]))) // 2
        return mcnemar_p(fewer, n - fewer)
    ordered = np.repeat(sizes, counts)
    if ordered.size <= 12:
        signs = 2 * (np.arange(2**ordered.size)[:, None] >> np.arange(ordered.size) & 1) - 1
        return float((np.abs(signs @ ordered) >= observed).mean())
    random = np.random.default_rng(seed)
    hits, step = 0, max(1, 2_000_000 // ordered.size)  # bounds memory
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        if 4 * counts.size < ordered.size:
            totals = (2 * random.binomial(counts, 0.5, size=(rows, counts.size)) - counts) @ sizes
        else:
            signs = random.integers(0, 2, size=(rows, ordered.size), dtype=np.int8)
            totals = 2 * (signs @ ordered) - ordered.sum()
        hits += int((np.abs(totals) >= observed).sum())
    return (1 + hits) / (1 + resamples)
