"""The decision on one precondition from token probabilities: steps a, b and c of arXiv 2501.00192, pure functions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from counterpoise.base import InputError

Path = Literal["a", "b", "c", "d"]
Decision = Literal["no", "yes", "reason"]


class Decided(NamedTuple):
    """What the probabilities say, and which step of the paper said it ("d": none did)."""

    decision: Decision
    path: Path


@dataclass(frozen=True)
class Constants:
    """The constants of the paper. `shown` and `absent` are written as their equivalents, which read as shares."""

    absent: float = 0.7
    """Step a: not satisfied when M(x,c) < 0.7 M(no image,c), which is alpha1 = -0.3 M(no image,c). From 1 to 2 the
    bound lies above the prior, by that part of the room above it: 1.2 is alpha1 = 0.2 (1 - M(no image,c))."""
    shown: float = 0.8
    """Step b: satisfied when M(x,c) > M(no image,c) + 0.8 (1 - M(no image,c)), which is alpha2. From -1 to 0 the bound
    lies below the prior, by that part of it: -0.2 is alpha2 = -0.2 M(no image,c)."""
    centre: float = 0.6
    """Step c, beta: satisfied when M falls by more than this once the central region is removed."""
    least_confidence: float = 0.05
    """Detections at or below it are not used: step c is skipped and nothing is cropped."""
    small: float = 0.01
    """A region of less than this share of the image is judged from its crop."""
    least_mass: float = 0.5
    """Probability on all spellings of yes and no together below which a token answer is `unknown`."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            low, high = {"absent": (0, 2), "shown": (-1, 1)}.get(name, (0, 1))
            if not low <= value <= high:
                raise InputError(f"{name} {value}: must lie between {low} and {high}")
        if self.absent - 1 > self.shown + 1e-9:  # equal but for rounding: nothing is left to reasoning
            raise InputError(f"absent {self.absent}, shown {self.shown}: an answer could be yes and no at once")


PAPER = Constants()


def bound(prior: float, share: float) -> float:
    """The prior moved by a share of the room: above it for a positive share, below it for a negative one."""
    return prior + share * (1 - prior) if share > 0 else (1 + share) * prior


def yes_share(yes: Sequence[float], no: Sequence[float]) -> tuple[float, float]:
    """(M, mass): M = P(yes) / (P(yes) + P(no)) in [0, 1] and mass = P(yes) + P(no), from natural log probabilities of
    each side's spellings, which are added. M does not change when a constant is added to all logits. With no mass at
    all M is 0.5.
    """
    top = max([*yes, *no])
    if top == -math.inf:
        return 0.5, 0.0
    a, b = (sum(math.exp(value - top) for value in side) for side in (yes, no))
    return a / (a + b), min((a + b) * math.exp(top), 1.0)


def decide(
    m_image: float | None, m_prior: float | None, m_removed: float | None = None, constants: Constants = PAPER
) -> Decided:
    """Steps a to c on M with the image, without it, and with the central region removed, each in [0, 1].

    None stands for a value that is not known (too little mass on yes and no, or nothing to remove): the steps that need
    it decide nothing. What no step decides goes to reasoning (step d). Raises InputError for values outside [0, 1].
    """
    for value in (m_image, m_prior, m_removed):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"M = {value}: must lie between 0 and 1")
    if m_image is None:
        return Decided("reason", "d")
    low = constants.absent  # below 1 it is itself the share of the prior
    if m_prior is not None and m_image < (low * m_prior if low <= 1 else bound(m_prior, low - 1)):
        return Decided("no", "a")
    if m_prior is not None and m_image > bound(m_prior, constants.shown):
        return Decided("yes", "b")
    if m_removed is not None and m_image - m_removed > constants.centre:
        return Decided("yes", "c")
    return Decided("reason", "d")


Truth = Literal["yes", "no", "unknown"]


def any_of(answers: Sequence[Truth]) -> Truth:
    """An OR group: yes if any is, no if all are, else unknown."""
    return "yes" if "yes" in answers else "unknown" if "unknown" in answers else "no"


def all_of(answers: Sequence[Truth]) -> Truth:
    """A chain of preconditions (AND): no if any is, yes if all are, else unknown."""
    return "no" if "no" in answers else "unknown" if "unknown" in answers else "yes"
