"""What a router must beat: the entropy of the small guard's probability, plain or calibrated, and both guards fused."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._labels import Bools, Floats, routing_labels
from ._metrics import best_threshold, decided, ranked, scores

BITS = 0.5
"""Entropy above which a verdict is not trusted; 0.1100 < P < 0.8900."""


def entropy(p: Floats) -> Floats:
    """H2(P) in bits; 0 at P = 0 and P = 1, never NaN."""
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-p * np.log2(p) - (1 - p) * np.log2(1 - p))


def _logit(p: Floats) -> Floats:
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(p / (1 - p)))


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -60, 60))))


def temperature(p: Floats, unsafe: Bools, *, steps: int = 1000, rate: float = 0.01, start: float = 1.5) -> float:
    """T that minimises the cross-entropy of sigmoid(logit P / T), by Adam (Guo et al. 2017; the paper's settings)."""
    z, y = _logit(p), unsafe.astype(float)
    t, m, v = start, 0.0, 0.0
    for step in range(1, steps + 1):
        q = _sigmoid(z / t)
        gradient = float(np.mean((q - y) * -z / t**2))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        t -= rate * (m / (1 - 0.9**step)) / (math.sqrt(v / (1 - 0.999**step)) + 1e-8)
        t = max(float(t), 1e-2)
    return float(t)


def scaled(p: Floats, t: float) -> Floats:
    """sigmoid(logit P / T); the verdict cannot change."""
    return _sigmoid(_logit(p) / t)


def against(p: Floats, prior: float) -> Floats:
    """(1 - P, P) divided by (1 - prior, prior) and renormalised: contextual calibration (Zhao et al. 2021) with the
    probability of a content-free prompt as the prior, batch calibration (Zhou et al. 2024) the mean probability."""
    prior = min(max(prior, 1e-7), 1 - 1e-7)
    unsafe, safe = p / prior, (1 - p) / (1 - prior)
    return np.asarray(unsafe / (unsafe + safe))


def fused(
    small: tuple[NDArray[np.int8], Floats], large: tuple[NDArray[np.int8], Floats], weight: float
) -> tuple[NDArray[np.int8], Floats]:
    """Both guards on every row: labels and P = sigmoid(weight logit P_small + (1 - weight) logit P_large), each (N).

    Each guard is its labels (0 safe, 1 unsafe, 2 unknown) and probabilities. Where one of them knows nothing the other
    stands, with its probability; where a probability is missing, or neither knows, the worse of the two, 1 for unknown
    without a probability (as for one guard alone)."""
    (a, p), (b, q) = small, large
    both = (a != 2) & (b != 2) & ~np.isnan(p) & ~np.isnan(q)
    z = weight * _logit(np.nan_to_num(p, nan=0.5)) + (1 - weight) * _logit(np.nan_to_num(q, nan=0.5))
    mixed = _sigmoid(z)
    label = np.where(a == 2, b, np.where(b == 2, a, np.maximum(a, b)))
    label = np.where(both, mixed > 0.5, label).astype(np.int8)
    first, second = ranked(a, p), ranked(b, q)
    alone = np.where((a == 2) == (b == 2), np.maximum(first, second), np.where(a == 2, second, first))
    return label, np.where(both, mixed, alone)


class Fitted(NamedTuple):
    """What the baselines learn from training rows."""

    temperature: float
    content_free: float | None
    """P(unsafe) of a prompt without content, where the guard has one."""
    mean: float
    tuned: Mapping[str, float]
    """Baseline -> bits above which it routes: of the best routing F1 on the training rows, not the paper's 0.5."""
    fusion: float
    """Weight of the small guard's logit in "Fusion 0.7/0.3": 0.7 for the guard of the higher safety F1."""
    fusion_tuned: float
    """The weight of the highest safety F1 on the training rows."""

    @classmethod
    def on(
        cls,
        small: tuple[NDArray[np.int8], Floats],
        large: tuple[NDArray[np.int8], Floats],
        unsafe: Bools,
        content_free: float | None,
    ) -> "Fitted":
        """From labels and probabilities of both guards on the router's training rows, and the truth."""
        label, p = small
        known = ~np.isnan(p)
        first = cls(temperature(p[known], unsafe[known]), content_free, float(np.mean(p[known])), {}, 0.5, 0.5)
        hard = routing_labels(label, large[0], unsafe)[known]
        tuned = {name: best_threshold(bits, hard) for name, bits in first.bits(p[known]).items()}
        alone = [scores(unsafe, decided(one[0], unsafe)).f1 for one in (small, large)]

        def f1(weight: float) -> float:
            return scores(unsafe, decided(fused(small, large, weight)[0], unsafe)).f1

        weights = sorted((n / 20 for n in range(21)), key=lambda weight: abs(weight - 0.5))
        return first._replace(
            tuned=tuned, fusion=0.7 if alone[0] >= alone[1] else 0.3, fusion_tuned=max(weights, key=f1)
        )

    def bits(self, p: Floats) -> dict[str, Floats]:
        """Entropy (N) by baseline. Calibrated values decide routing only; a kept verdict stays as it was."""
        found = {"Entropy": entropy(p), "Entropy + TS": entropy(scaled(p, self.temperature))}
        if self.content_free is not None:
            found["Entropy + CC"] = entropy(against(p, self.content_free))
        found["Entropy + BC"] = entropy(against(p, self.mean))
        return found

    def decisions(self, p: Floats) -> dict[str, Bools]:
        """Which rows each baseline routes: above 0.5 bit, and above its tuned threshold."""
        bits = self.bits(p)
        found = {name: np.asarray(value > BITS) for name, value in bits.items()}
        return found | {
            f"{name}, tuned": np.asarray(value > self.tuned[name]) for name, value in bits.items() if name in self.tuned
        }
