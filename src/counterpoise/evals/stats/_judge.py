"""A judge's error: its confusion with human labels, and rates corrected for it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from counterpoise.base import InputError

from ._cluster import RESAMPLES
from ._items import Floats, Labels, Values, as_floats
from ._paired import paired_difference
from ._proportion import clopper_pearson
from ._rate import rate


class Confusion(NamedTuple):
    """Counts of a yes/no judge against the truth; unscored items are counted apart and enter no share."""

    tp: int
    fp: int
    tn: int
    fn: int
    n_unscored: int = 0

    @property
    def n(self) -> int:
        return self.tp + self.fp + self.tn + self.fn

    @property
    def accuracy(self) -> float:
        return _ratio(self.tp + self.tn, self.n)

    @property
    def precision(self) -> float:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def sensitivity(self) -> float:
        """Also called recall."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def reported(self) -> float:
        """The rate this judge would print."""
        return _ratio(self.tp + self.fp, self.n)

    @property
    def true_rate(self) -> float:
        return _ratio(self.tp + self.fn, self.n)

    @property
    def bias(self) -> float:
        """Reported minus true rate: the number that matters for a rate (agreement is not)."""
        return self.reported - self.true_rate

    @property
    def kappa(self) -> float:
        """Cohen's kappa (1960): agreement beyond chance."""
        chance = self.reported * self.true_rate + (1 - self.reported) * (1 - self.true_rate)
        return (self.accuracy - chance) / (1 - chance) if chance < 1 else math.nan


def confusion(truth: Sequence[bool], verdicts: Values) -> Confusion:
    """Compare verdicts (1, 0, None = unscored) with the truth, item by item."""
    given = as_floats(verdicts, "verdicts")
    real = np.asarray(truth, dtype=bool)
    if real.size != given.size:
        raise InputError(f"confusion: {real.size} labels for {given.size} verdicts; give one per item")
    yes, no = given >= 0.5, given < 0.5  # NaN is neither
    return Confusion(
        int((yes & real).sum()),
        int((yes & ~real).sum()),
        int((no & ~real).sum()),
        int((no & real).sum()),
        int(np.isnan(given).sum()),
    )


class Corrected(NamedTuple):
    """A rate as reported and corrected for the judge's error. Always print both."""

    raw: float
    value: float
    low: float
    high: float
    se: float


def rogan_gladen(
    observed: float,
    n: float,
    sensitivity: float,
    n_pos: float,
    specificity: float,
    n_neg: float,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    least_information: float = 0.2,
) -> Corrected:
    """(q + Sp - 1) / (Se + Sp - 1), clipped to [0, 1] (Rogan and Gladen 1978, Am J Epidemiol 107:71).

    `n_pos`, `n_neg`: how many positives and negatives measured Se and Sp. The three counts may be fractions; for items
    in clusters give effective numbers (`effective_n`). Standard error by the delta method. Interval: the three
    Clopper-Pearson confidence distributions, melded by draws (Bayer, Fay and Graubard 2023, Statistics in Medicine
    42:1822), so that Se or Sp of 1 and q of 0 stay uncertain. A judge that errs tells less than one that does not, so
    the interval is at least that of an errorless judge with the corrected count; without this 0 of 100 by a judge
    whose specificity is 0.9 would give [0, 0]. Raises InputError when Se + Sp - 1 is below `least_information`: such a
    judge cannot be corrected.
    """
    if min(n, n_pos, n_neg) <= 0:
        raise InputError(f"Rogan-Gladen: n = {n:g}, n_pos = {n_pos:g}, n_neg = {n_neg:g}; all must be positive")
    if not all(0 <= share <= 1 for share in (observed, sensitivity, specificity)):
        raise InputError(
            f"Rogan-Gladen: rate {observed:g}, sensitivity {sensitivity:g}, specificity {specificity:g}; "
            "all must lie between 0 and 1"
        )
    youden = sensitivity + specificity - 1
    if not youden >= least_information:
        raise InputError(
            f"Rogan-Gladen: sensitivity + specificity - 1 = {youden:.2f} is below {least_information}: "
            "the judge carries too little information to correct for; use another judge"
        )
    value = min(max((observed + specificity - 1) / youden, 0.0), 1.0)
    variance = (
        observed * (1 - observed) / n
        + value**2 * sensitivity * (1 - sensitivity) / n_pos
        + (1 - value) ** 2 * specificity * (1 - specificity) / n_neg
    )
    random = np.random.default_rng(seed)
    q, se, sp = (
        _confidence_draws(share, size, resamples, random)
        for share, size in ((observed, n), (sensitivity, n_pos), (specificity, n_neg))
    )
    tail = 100 * (1 - level) / 2
    low = float(np.percentile(_true_rate(q[0], se[1], sp[0], 0.0), tail))
    high = float(np.percentile(_true_rate(q[1], se[0], sp[1], 1.0), 100 - tail))
    errorless = clopper_pearson(value * n, n, level)
    return Corrected(observed, value, min(low, errorless.low), max(high, errorless.high), math.sqrt(variance) / youden)


def _confidence_draws(share: float, n: float, draws: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws of the lower and of the upper confidence distribution of a proportion: Beta(k, n-k+1), Beta(k+1, n-k)."""
    k = share * n
    low = random.beta(k, n - k + 1, draws) if k > 0 else np.zeros(draws)
    high = random.beta(k + 1, n - k, draws) if k < n else np.ones(draws)
    return low, high


def _true_rate(q: Floats, se: Floats, sp: Floats, unknown: float) -> Floats:
    """The rate behind each draw; `unknown` where a draw leaves the judge no information."""
    information = se + sp - 1
    telling = information > 0
    return np.where(telling, np.clip((q + sp - 1) / np.where(telling, information, 1.0), 0.0, 1.0), unknown)


def prediction_powered(
    judge_all: Values,
    judge_labelled: Values,
    human_labelled: Values,
    clusters_all: Labels | None = None,
    clusters_labelled: Labels | None = None,
    level: float = 0.95,
) -> Corrected:
    """mean(judge on all) + mean(human - judge on the labelled items of this run) (Angelopoulos et al. 2023, Science).

    SE^2 = var(judge) / N + var(human - judge) / n_labelled. Interval: that of the judge's rate (`rate`) and of the
    paired shift (`paired_difference`), their distances added in squares, so that a few labels that all agree with the
    judge do not count as proof that all do. `judge_all` are the verdicts of the unlabelled items (or of all items); the
    other two are in the same order. Raises InputError for fewer than two labelled items or clusters, or unscored ones.
    """
    verdicts, judged, human = (
        as_floats(judge_all, "judge"),
        as_floats(judge_labelled, "judge on labelled items"),
        as_floats(human_labelled, "human labels"),
    )
    if judged.size != human.size or judged.size < 2 or verdicts.size < 2:
        raise InputError("prediction-powered rate: needs at least two labelled items, each with both verdicts")
    if np.isnan(verdicts).any() or np.isnan(judged).any() or np.isnan(human).any():
        raise InputError("prediction-powered rate: drop unscored items first and report how many")
    raw, shift = rate(judge_all, clusters_all, level), paired_difference(human, judged, clusters_labelled, level)
    mean = float(verdicts.mean())
    value = min(max(mean + shift.value, 0.0), 1.0)
    down = math.hypot(mean - (raw.low or 0.0), shift.value - shift.low)
    up = math.hypot((raw.high or 0.0) - mean, shift.high - shift.value)
    error = math.sqrt(verdicts.var(ddof=1) / verdicts.size + shift.se**2)
    return Corrected(mean, value, max(0.0, mean + shift.value - down), min(1.0, mean + shift.value + up), error)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
