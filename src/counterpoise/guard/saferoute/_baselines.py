"""Routing without training: the entropy of the small guard's probability, plain or calibrated."""

import math
from typing import NamedTuple

import numpy as np

from ._labels import Bools, Floats

BITS = 0.5
"""Entropy above which a verdict is not trusted; 0.1100 < P < 0.8900."""


def entropy(p: Floats) -> Floats:
    """H2(P) in bits; 0 at P = 0 and P = 1, never NaN."""
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-p * np.log2(p) - (1 - p) * np.log2(1 - p))


def by_entropy(p: Floats) -> Bools:
    """Route iff H2 > 0.5 bit."""
    return np.asarray(entropy(p) > BITS)


def _logit(p: Floats) -> Floats:
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(p / (1 - p)))


def temperature(p: Floats, unsafe: Bools, *, steps: int = 1000, rate: float = 0.01, start: float = 1.5) -> float:
    """T that minimises the cross-entropy of sigmoid(logit P / T), by Adam (Guo et al. 2017; the paper's settings)."""
    z, y = _logit(p), unsafe.astype(float)
    t, m, v = start, 0.0, 0.0
    for step in range(1, steps + 1):
        q = 1 / (1 + np.exp(-z / t))
        gradient = float(np.mean((q - y) * -z / t**2))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        t -= rate * (m / (1 - 0.9**step)) / (math.sqrt(v / (1 - 0.999**step)) + 1e-8)
        t = max(float(t), 1e-2)
    return float(t)


def scaled(p: Floats, t: float) -> Floats:
    """sigmoid(logit P / T); the verdict cannot change."""
    return np.asarray(1 / (1 + np.exp(-_logit(p) / t)))


def against(p: Floats, prior: float) -> Floats:
    """(1 - P, P) divided by (1 - prior, prior) and renormalised: contextual calibration (Zhao et al. 2021) with the
    probability of a content-free prompt as the prior, batch calibration (Zhou et al. 2024) the mean probability."""
    prior = min(max(prior, 1e-7), 1 - 1e-7)
    unsafe, safe = p / prior, (1 - p) / (1 - prior)
    return np.asarray(unsafe / (unsafe + safe))


class Fitted(NamedTuple):
    """What the baselines learn from training rows."""

    temperature: float
    content_free: float | None
    """P(unsafe) of a prompt without content, where the guard has one."""
    mean: float

    @classmethod
    def on(cls, p: Floats, unsafe: Bools, content_free: float | None) -> "Fitted":
        return cls(temperature(p, unsafe), content_free, float(np.mean(p)))

    def decisions(self, p: Floats) -> dict[str, Bools]:
        """Which rows each baseline routes. Calibrated values decide routing only; a kept verdict stays as it was."""
        found = {"Entropy": by_entropy(p), "Entropy + TS": by_entropy(scaled(p, self.temperature))}
        if self.content_free is not None:
            found["Entropy + CC"] = by_entropy(against(p, self.content_free))
        found["Entropy + BC"] = by_entropy(against(p, self.mean))
        return found
