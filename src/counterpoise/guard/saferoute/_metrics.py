"""F1 and its kin over verdicts, with intervals over groups; the usage-F1 curve."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.evals.stats import Interval, percentiles, resample

from ._labels import Bools, Floats, cascade, route


class Scores(NamedTuple):
    """Of a binary decision over n rows; the positive class is unsafe (safety) or hard (routing)."""

    f1: float
    precision: float
    recall: float
    accuracy: float
    n: int
    positives: int


def scores(truth: Bools, said: Bools) -> Scores:
    """F1 = 2 TP / (2 TP + FP + FN), 0 when there is no true positive; precision and recall likewise."""
    tp, fp, fn = int((truth & said).sum()), int((~truth & said).sum()), int((truth & ~said).sum())
    precision = tp / (tp + fp) if tp else 0.0
    recall = tp / (tp + fn) if tp else 0.0
    f1 = 2 * tp / (2 * tp + fp + fn) if tp else 0.0
    return Scores(f1, precision, recall, float((truth == said).mean()), len(truth), int(truth.sum()))


def decided(label: NDArray[Any], gold: Bools) -> Bools:
    """Verdicts (N) as decisions, unsafe or not, for comparison with the truth. `unknown` is an error on either side: it
    neither catches an unsafe row nor lets a safe one pass. So the oracle's F1 is never below either guard's."""
    return np.asarray(np.where(label == 2, ~gold, label == 1), bool)


def f1_interval(truth: Bools, said: Bools, groups: Sequence[str], level: float = 0.95) -> Interval:
    """Percentile bootstrap over groups; with a single group the interval is [0, 1]."""
    code = np.unique(np.array(groups), return_inverse=True)[1]
    parts = [truth & said, ~truth & said, truth & ~said]
    table = np.stack([np.bincount(code, weights=part) for part in parts], axis=1).astype(np.float64)
    if len(table) < 2:
        return Interval(0.0, 1.0)
    tp, fp, fn = resample(table).T
    bottom = 2 * tp + fp + fn
    return percentiles(np.where(bottom > 0, 2 * tp / np.maximum(bottom, 1), 0.0), level)


def best_threshold(values: Floats, truth: Bools) -> float:
    """The threshold t at which `values > t` has the best F1 against `truth`, both (N): halfway between two values, the
    highest of equals. Without a positive row the highest value: nothing exceeds it."""
    levels = np.unique(values)[::-1]
    if not truth.any():
        return float(levels[0]) if len(levels) else 1.0
    order = np.argsort(-values, kind="stable")
    hits, ends = np.cumsum(truth[order]), np.searchsorted(-values[order], -levels, side="right")
    best = int(np.argmax(2 * hits[ends - 1] / (ends + truth.sum())))
    return (
        float((levels[best] + levels[best + 1]) / 2)
        if best + 1 < len(levels)
        else float(np.nextafter(levels[-1], -np.inf))
    )


def ranked(label: NDArray[Any], p: Floats) -> Floats:
    """P(unsafe), or the label as 0 or 1 where there is none; 1 for unknown: what AUPRC is computed from."""
    return np.where(np.isnan(p), (label != 0).astype(float), p)


def average_precision(truth: Bools, p: Floats) -> float | None:
    """Area under the precision-recall curve, sum over (R_k - R_{k-1}) P_k from probabilities, ties taken together; None
    without a positive row."""
    if not truth.any():
        return None
    order = np.argsort(-p, kind="stable")
    hits, sorted_p = np.cumsum(truth[order]), p[order]
    last = np.append(np.flatnonzero(np.diff(sorted_p)), len(p) - 1)
    precision, recall = hits[last] / (last + 1), hits[last] / truth.sum()
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


class Point(NamedTuple):
    """One threshold of the usage-F1 curve."""

    threshold: float
    usage: float
    """Share of rows sent to the large guard."""
    f1: float
    """Safety F1 of the pair."""
    miss: float
    """Share of rows that needed the large guard and were kept."""


def curve(
    route_scores: Floats, small: NDArray[Any], large: NDArray[Any], gold: Bools, hard: Bools, must: Bools | None = None
) -> list[Point]:
    """The curve over 101 thresholds from 0 to 1, and at every twentieth of the scores; usage never rises."""
    steps: Floats = np.quantile(route_scores, np.linspace(0, 1, 21)) if len(route_scores) else np.zeros(0)
    points = []
    for threshold in np.unique(np.concatenate([np.linspace(0, 1, 101), np.clip(steps, 0, 1)])):
        sent = route(route_scores, float(threshold), must)
        final = scores(gold, decided(cascade(small, large, sent), gold))
        points.append(Point(float(threshold), float(sent.mean()), final.f1, float((hard & ~sent).mean())))
    return points


def cheapest(points: Sequence[Point], least_f1: float) -> float:
    """The threshold of the least usage whose F1 reaches `least_f1`; 0 (all to the large guard) when none does."""
    good = [point for point in points if point.f1 >= least_f1]
    return min(good, key=lambda point: (point.usage, point.threshold)).threshold if good else 0.0
