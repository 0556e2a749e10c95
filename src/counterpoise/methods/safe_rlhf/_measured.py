"""What held-out pairs say of a reward or cost model: ranking, side of 0, AUC, calibration.

Replies of one family (or prompt) share a cause: intervals count the effective number of them.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.data import Preference, Rated
from counterpoise.evals.stats import Interval, auc, platt, rate

from ._data import key_of
from ._scores import Floats, ScoreModel


class Share(NamedTuple):
    """A share with its denominator and 95 % interval (Wilson; where replies share a family or a prompt, with the
    effective number of them); None of nothing."""

    value: float | None
    n: int
    interval: Interval | None


def share(hits: Iterable[bool], clusters: Sequence[str] | None = None) -> Share:
    """Of a list of outcomes; equal labels in `clusters` share a cause."""
    values = [float(bool(hit)) for hit in hits]
    if not values:
        return Share(None, 0, None)
    found = rate(values, clusters)
    assert found.low is not None and found.high is not None
    return Share(found.value, len(values), Interval(found.low, found.high))


def cluster_of(row: Preference | Rated) -> str:
    """What a row shares with others: its family, or else its prompt."""
    return row.cluster or key_of(row.prompt)


def calibration_error(costs: Floats, unsafe: NDArray[np.bool_], bins: int = 10) -> float | None:
    """Expected calibration error of sigmoid(cost) as the probability of unsafe, in `bins` bins of equal width."""
    if not len(costs):
        return None
    p = 1 / (1 + np.exp(-costs))
    place = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(p[place == b].mean() - unsafe[place == b].mean()) * (place == b).mean() for b in set(place.tolist())]
    return float(sum(gaps))


def reward_metrics(model: ScoreModel, pairs: Sequence[Preference]) -> dict[str, Any]:
    """Ranking accuracy on the pairs that are ordered by helpfulness, altogether and by modality."""
    ordered = [(row, pair) for row in pairs if (pair := row.by_helpfulness()) is not None]
    found = model.scores([(pair.prompt, text) for _, pair in ordered for text in (pair.chosen, pair.rejected)])
    better, worse = found[0::2], found[1::2]
    return _by_modality("ranking", [row for row, _ in ordered], better > worse) | {"pairs": len(ordered)}


def cost_metrics(model: ScoreModel, pairs: Sequence[Preference]) -> dict[str, Any]:
    """Ranking accuracy on the pairs that are ordered by safety, and on those of them with an unsafe reply (among safe
    ones an order says little); of all replies that are said to be safe or unsafe, the share whose cost is on their side
    of 0 (with and without those of rate 0), beside the share of the larger kind; AUC; the calibration error of
    sigmoid(cost), and after Platt's calibration, whose slope and offset are those of the guard."""
    ordered = [(row, pair) for row in pairs if (pair := row.by_safety()) is not None]
    found = model.scores([(pair.prompt, text) for _, pair in ordered for text in (pair.chosen, pair.rejected)])
    right = found[1::2] > found[0::2]
    metrics = _by_modality("ranking", [row for row, _ in ordered], right)
    unsafe_pairs = [any(reply.safe is False for reply in row.replies) for row, _ in ordered]
    metrics["ranking_with_unsafe"] = of_rows([row for row, _ in ordered], right, unsafe_pairs)
    said = {(row.prompt, reply.text): (row, reply) for row in pairs for reply in row.replies if reply.safe is not None}
    costs = model.scores(list(said))
    unsafe = np.array([not reply.safe for _, reply in said.values()], bool)
    graded = np.array([reply.harmless != 0 for _, reply in said.values()], bool)
    right = (costs > 0) == unsafe
    metrics |= _by_modality("sign", [row for row, _ in said.values()], right)
    metrics["sign_without_rate_0"] = of_rows([row for row, _ in said.values()], right, graded)
    metrics["majority"] = float(max(unsafe.mean(), 1 - unsafe.mean())) if len(unsafe) else None
    metrics["auc"], metrics["calibration_error"] = auc(costs, unsafe), calibration_error(costs, unsafe)
    metrics |= _calibration(costs, unsafe)
    return metrics | {"pairs": len(ordered), "replies": len(said)}


def own_metrics(model: ScoreModel, rows: Sequence[Rated]) -> dict[str, Any]:
    """Of the model's own rated replies: AUC of the cost (over all, and over replies to harmful requests), and the share
    whose cost is on their side of 0."""
    costs = model.scores([(row.prompt, row.reply.text) for row in rows])
    unsafe = np.array([row.reply.safe is False for row in rows], bool)
    harmful = np.array([bool(row.meta.get("harmful")) for row in rows], bool)
    sign = of_rows(rows, (costs > 0) == unsafe)
    areas = {"auc": auc(costs, unsafe), "auc_harmful": auc(costs[harmful], unsafe[harmful])}
    return areas | {"sign": sign, "replies": len(rows), "unsafe": int(unsafe.sum())}


def calibrated(costs: Floats, slope: float, offset: float) -> Floats:
    """(n,) probabilities of unsafe by Platt's calibration."""
    found: Floats = 1 / (1 + np.exp(-np.clip(slope * costs + offset, -40, 40)))
    return found


def _calibration(costs: Floats, unsafe: NDArray[np.bool_]) -> dict[str, Any]:
    """Slope and offset that make a cost a probability (None where all replies are alike), and the calibration error of
    either half of the replies by what was fitted on the other one: none judges itself."""
    if min(unsafe.sum(), (~unsafe).sum()) < 2:
        return {"platt": None, "calibration_error_platt": None}
    first = np.zeros(len(costs), bool)
    for kind in (unsafe, ~unsafe):
        first[np.flatnonzero(kind)[::2]] = True  # replies of a pair stand side by side, safe and unsafe
    halves = (first, ~first)
    p, y = np.zeros(len(costs)), unsafe.astype(float)
    for half in halves:
        p[half] = calibrated(costs[half], *platt(costs[~half], y[~half]))
    crossed = calibration_error(np.log(p) - np.log1p(-p), unsafe)
    return {"platt": list(platt(costs, y)), "calibration_error_platt": crossed}


def _by_modality(name: str, rows: Sequence[Preference], right: NDArray[np.bool_]) -> dict[str, Any]:
    found: dict[str, Any] = {name: of_rows(rows, right)}
    for kind in sorted({row.modality for row in rows}):
        found[f"{name}_{kind}"] = of_rows(rows, right, [row.modality == kind for row in rows])
    return found


def of_rows(
    rows: Sequence[Preference | Rated], right: NDArray[np.bool_], kept: Sequence[bool] | NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    """The share of right ones among those that are kept, for JSON."""
    own = [(bool(hit), cluster_of(row)) for i, (row, hit) in enumerate(zip(rows, right, strict=True))
           if kept is None or kept[i]]  # fmt: skip
    value = share([hit for hit, _ in own], [label for _, label in own])
    ends = (None, None) if value.interval is None else (value.interval.low, value.interval.high)
    return {"value": value.value, "n": value.n, "ci_low": ends[0], "ci_high": ends[1]}
