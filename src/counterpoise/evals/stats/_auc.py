"""Whether a score puts one kind of rows above another, whatever the threshold."""

import numpy as np
from numpy.typing import ArrayLike


def auc(score: ArrayLike, positive: ArrayLike) -> float | None:
    """Area under the ROC curve: P(score of a positive > score of another) + half of P(equal) (Mann-Whitney); None
    without rows of both kinds."""
    s, kind = np.asarray(score, float), np.asarray(positive, bool)
    high, low = s[kind], np.sort(s[~kind])
    if not len(high) or not len(low):
        return None
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / (2 * len(low)))
