"""Whether a guard's score puts unsafe exchanges above safe ones, whatever its threshold."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from counterpoise.base import InputError
from counterpoise.evals.stats import auc

RESAMPLES = 1000


class Auc(NamedTuple):
    """Area under the ROC curve, and its 95 % interval (percentile bootstrap over groups)."""

    value: float
    low: float
    high: float
    unsafe: int
    """Unsafe exchanges that it was computed from."""
    safe: int


def ranking(score: Sequence[float], unsafe: Sequence[bool], groups: Sequence[str], seed: int = 0) -> Auc | None:
    """AUC with its interval: whole groups are drawn again, since rows of a group share their cause. With one group the
    interval is [0, 1]. None without exchanges on a side. Raises InputError when lengths differ."""
    if not len(score) == len(unsafe) == len(groups):
        raise InputError(f"ranking: {len(score)} scores, {len(unsafe)} labels, {len(groups)} groups")
    value = auc(score, unsafe)
    if value is None:
        return None
    s, gold = np.asarray(score, float), np.asarray(unsafe, bool)
    names, code = np.unique(np.asarray(groups), return_inverse=True)
    low, high = 0.0, 1.0
    if len(names) > 1:
        members = [np.flatnonzero(code == n) for n in range(len(names))]
        random = np.random.default_rng(seed)
        drawn = []
        for _ in range(RESAMPLES):
            at = np.concatenate([members[n] for n in random.integers(0, len(names), len(names))])
            if (one := auc(s[at], gold[at])) is not None:
                drawn.append(one)
        if drawn:
            low, high = (float(q) for q in np.quantile(drawn, (0.025, 0.975)))
    return Auc(value, low, high, int(gold.sum()), int((~gold).sum()))
