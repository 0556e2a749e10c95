"""Whether a guard's probability means what it says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from counterpoise.base import InputError
from counterpoise.evals.stats import wilson

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Exchanges whose p_unsafe lies in one bin."""

    n: int
    p: float
    """Mean p_unsafe."""
    unsafe: float
    """Share that is unsafe, with its 95 % interval (Wilson)."""
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error, Brier score, and the bins of a reliability picture."""

    n: int
    ece: float
    brier: float
    bins: tuple[Bin, ...]


def calibration(p: Sequence[float], unsafe: Sequence[bool], bins: int = BINS) -> Calibration | None:
    """ECE = sum over bins of (n_b / n) |share unsafe - mean p|, with `bins` bins of equal width on [0, 1] (Naeini et
    al. 2015, AAAI; Guo et al. 2017, ICML, eq. 3), and the Brier score, mean (p - unsafe)^2.

    None for no exchanges. ECE depends on the share of unsafe exchanges, so it is compared on equal sets only. Raises
    InputError when lengths differ or a p lies outside [0, 1].
    """
    if len(p) != len(unsafe):
        raise InputError(f"calibration: {len(p)} probabilities for {len(unsafe)} labels")
    if not len(p):
        return None
    given, truth = np.asarray(p, float), np.asarray(unsafe, float)
    if not ((given >= 0) & (given <= 1)).all():
        raise InputError("calibration: probabilities must lie between 0 and 1")
    place = np.minimum((given * bins).astype(int), bins - 1)
    made, ece = [], 0.0
    for number in np.unique(place):
        inside = place == number
        n, mean, share = int(inside.sum()), float(given[inside].mean()), float(truth[inside].mean())
        made.append(Bin(n, mean, share, *wilson(float(truth[inside].sum()), n)))
        ece += n / len(given) * abs(share - mean)
    return Calibration(len(given), ece, float(((given - truth) ** 2).mean()), tuple(made))
