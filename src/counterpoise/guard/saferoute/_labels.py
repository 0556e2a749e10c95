"""Routing labels: where the large guard must look."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def right(label: NDArray[Any], gold: Bools) -> Bools:
    """Whether verdicts (N) agree with the truth: 1 unsafe, 0 safe; anything else (unknown) is never right."""
    return np.asarray((label == 1) & gold | (label == 0) & ~gold)


def routing_labels(small: NDArray[Any], large: NDArray[Any], gold: Bools) -> Bools:
    """t(x) = 1 iff the small verdict is wrong and the large one is right (Lee et al. 2025, equation 2); shape (N)."""
    return np.asarray(~right(small, gold) & right(large, gold))


def cascade(small: NDArray[Any], large: NDArray[Any], routed: Bools) -> NDArray[np.int8]:
    """The verdict that stands for each row, in the rows' own order: the large guard's where routed."""
    return np.asarray(np.where(routed, large, small), np.int8)


def route(scores: Floats, threshold: float, must: Bools | None = None) -> Bools:
    """score > threshold, and every row that must go (the small guard could not look). 0 sends all, 1 none of the rest.

    Scores are kept off 0, so that rounding cannot break the first promise.
    """
    sent = np.clip(scores, 1e-12, 1.0) > threshold
    return np.asarray(sent if must is None else sent | must)
