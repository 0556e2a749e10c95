"""Platt's calibration: scores of a classifier -> probabilities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def platt(logits: Floats, y: NDArray[Any]) -> tuple[float, float]:
    """(slope, offset) that minimise the cross-entropy of sigmoid(slope logit + offset) (Platt 1999), by Newton's method
    with his smoothed targets. A slope that would turn the order around is replaced by 1."""
    n1, n0 = float((y > 0.5).sum()), float((y <= 0.5).sum())
    target = np.where(y > 0.5, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    x = np.stack([logits, np.ones_like(logits)], axis=1)

    def loss(w: Floats) -> float:
        z = x @ w
        return float(np.sum(np.logaddexp(0, z) - target * z))

    w = np.array([1.0, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -40, 40)))
        curve = (x * np.maximum(p * (1 - p), 1e-9)[:, None]).T @ x
        step = np.linalg.solve(curve + 1e-9 * np.eye(2), x.T @ (p - target))
        size = 1.0
        while size > 1e-6 and loss(w - size * step) > loss(w):  # Newton's full step can overshoot by far
            size /= 2
        w = w - size * step
        if size <= 1e-6 or np.abs(step).max() < 1e-9:
            break
    return (float(w[0]), float(w[1])) if w[0] > 0 else (1.0, 0.0)
