"""The values of the guard room: an exchange to be checked, what was inspected of it, and the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from counterpoise.base import InputError
from counterpoise.chat import Conversation

Label = Literal["safe", "unsafe", "controversial", "unknown"]
Severity = Literal["safe", "minor", "moderate", "severe"]
Features = np.ndarray[Any, np.dtype[np.float32]]

RANK: dict[Label, int] = {"safe": 0, "controversial": 1, "unknown": 2, "unsafe": 3}
"""How bad a label is: of several verdicts about one exchange the worst stands, and not knowing is worse than doubt."""


@dataclass(frozen=True)
class Exchange:
    """What a guard looks at: a conversation with its images and, in response mode, the answer to its last turn."""

    conversation: Conversation
    answer: str | None = None

    @property
    def texts(self) -> int:
        """Text parts, the answer included; empty ones do not count."""
        parts = [p for m in self.conversation for p in m.parts if isinstance(p, str) and p.strip()]
        return len(parts) + bool(self.answer and self.answer.strip())

    @property
    def images(self) -> int:
        return sum(len(message.images) for message in self.conversation)


@dataclass(frozen=True)
class Inspected:
    """How many text parts and images of an exchange went through the guard, of how many there were."""

    texts: int
    texts_total: int
    images: int
    images_total: int
    undone: tuple[str, ...] = ()
    """Names of the disguises of texts that were undone, and read besides the texts as they stand."""

    @property
    def complete(self) -> bool:
        return self.texts == self.texts_total and self.images == self.images_total


@dataclass(frozen=True)
class Verdict:
    """What a guard says about one exchange. What it could not read or see is `unknown`, never `safe`."""

    label: Label
    guard: str
    """Id of the guard that decided."""
    inspected: Inspected
    p_unsafe: float | None = None
    """Probability of `unsafe` between 0 and 1, where the guard has one; see `calibrated`."""
    threshold: float | None = None
    """The `p_unsafe` from which the guard itself says unsafe, where that is how it decides."""
    mass: float | None = None
    """Share of the probability at the verdict position that lies on the two sides at all."""
    severity: Severity | None = None
    categories: tuple[str, ...] = ()
    """In the guard's own taxonomy, for example S9."""
    refusal: bool | None = None
    """Whether the answer refuses, where the guard says so (response mode)."""
    rationale: str | None = None
    reason: str | None = None
    """Why the label is `unknown`."""
    raw: str = ""
    calibrated: bool = False
    revision: str | None = None
    template: str | None = None
    """Hash of the prompt template."""
    cost: float = 0.0
    """Seconds of computing spent on this exchange (its share of the batch)."""
    features: Features | None = field(default=None, compare=False, repr=False)
    """Hidden state at the verdict position (d,), float32, for a router."""

    def __post_init__(self) -> None:
        if self.p_unsafe is not None and not 0 <= self.p_unsafe <= 1:
            raise InputError(f"{self.guard}: p_unsafe {self.p_unsafe}: must lie between 0 and 1")
        if self.label == "safe" and not self.inspected.complete:
            raise InputError(f"{self.guard}: safe, but it did not inspect every part")
        if self.label == "unknown" and not self.reason:
            raise InputError(f"{self.guard}: unknown without a reason")

    def blocks(self, threshold: float | None = None, *, controversial: bool = True) -> bool:
        """Whether a gate must stop: unsafe or unknown, p_unsafe at or above `threshold`, and (strict) controversial.

        With a threshold and a probability, the probability decides between safe and unsafe; unknown always blocks.
        """
        if self.label == "unknown":
            return True
        if threshold is not None and self.p_unsafe is not None:
            return self.p_unsafe >= threshold
        return self.label == "unsafe" or (controversial and self.label == "controversial")


@dataclass(frozen=True)
class Sees:
    """What a guard can look at in one pass."""

    texts: bool = True
    images: int | None = 0
    """How many images; None: any number."""
    answers: bool = True
    languages: frozenset[str] | None = None
    """ISO 639 codes of the languages that it reads; None: not limited. A passage in another one makes it unknown."""


@runtime_checkable
class Guard(Protocol):
    """Looks at exchanges. It gives one verdict for each, in order, and raises only when it is broken itself."""

    @property
    def id(self) -> str: ...

    @property
    def sees(self) -> Sees: ...

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]: ...


@runtime_checkable
class Prepares(Protocol):
    """A guard that loads a part of itself only when an exchange needs it, and can load that part before."""

    def prepare(self) -> None: ...


@runtime_checkable
class Counts(Protocol):
    """A guard that can tell, from any thread, how many word pieces it makes of a text: what looking at it costs."""

    def pieces(self, text: str) -> int: ...


def identity(guard: Guard) -> str:
    """Id and revision of a guard: what kept results of it are valid for."""
    return f"{guard.id} {getattr(guard, 'revision', '')}"


def prepare(guard: Guard) -> None:
    """Load what a guard would otherwise load at its first exchange. One without `prepare` is whole when it is made; one
    that holds other guards hands this on to them. Raises what loading raises."""
    if isinstance(guard, Prepares):
        guard.prepare()


def unknown(guard: str, exchange: Exchange, reason: str, *, raw: str = "", **more: Any) -> Verdict:
    """The verdict of a guard that could not look (nothing inspected) or could not be understood."""
    nothing = Inspected(0, exchange.texts, 0, exchange.images)
    more.setdefault("inspected", nothing)
    return Verdict("unknown", guard, reason=reason, raw=raw, **more)


def unseen(sees: Sees, exchange: Exchange) -> str | None:
    """Why a guard that sees so much cannot look at this exchange in one pass, or None if it can."""
    if exchange.texts and not sees.texts:
        return "the guard does not read text"
    if exchange.answer is not None and not sees.answers:
        return "the guard does not read answers"
    if sees.images is not None and exchange.images > sees.images:
        return f"{exchange.images} images, the guard sees {sees.images or 'none'}"
    return None


def worst(verdicts: Sequence[Verdict], inspected: Inspected | None = None) -> Verdict:
    """The verdict over several passes about one exchange: the worst label, the largest p_unsafe, all categories.

    `inspected` says what the passes saw together; without it the counts of the worst one stand.
    """
    if not verdicts:
        raise InputError("no verdicts")
    top = max(verdicts, key=lambda v: (RANK[v.label], v.p_unsafe or 0.0))
    known = [v.p_unsafe for v in verdicts if v.p_unsafe is not None]
    categories = tuple(dict.fromkeys(c for v in verdicts for c in v.categories))
    return replace(
        top,
        p_unsafe=max(known) if known else None,
        categories=categories,
        inspected=inspected or top.inspected,
        cost=sum(v.cost for v in verdicts),
    )
