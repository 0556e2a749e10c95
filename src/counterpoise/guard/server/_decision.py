"""What the server says about one exchange."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .._values import Verdict

Outcome = Literal["allow", "block", "review"]
ORDER: tuple[Outcome, ...] = ("allow", "review", "block")
"""From lenient to strict."""


@dataclass(frozen=True)
class Place:
    """Where something stands in a request, counted from 0. In `/v1/moderations` parts are those of `input`."""

    message: int
    """-1: beside the messages, such as the tools."""
    part: int | None = None
    """Of the message's content, if that is a list."""


@dataclass(frozen=True)
class Reason:
    """One ground for not passing."""

    policy: str
    guard: str
    category: str | None
    score: float | None
    threshold: float | None
    text: str
    part: Place | None = None
    """Which part it is about, where it is about one and that is known; otherwise about the exchange as a whole."""


@dataclass(frozen=True)
class Coverage:
    """Parts that went through a guard, of those that were there. Nothing is cut: a long text is split."""

    texts_total: int
    texts_checked: int
    images_total: int
    images_checked: int
    uninspected: tuple[str, ...] = ()
    """Kinds of parts that no guard can look at, such as input_audio."""

    @property
    def complete(self) -> bool:
        return (
            self.texts_checked == self.texts_total and self.images_checked == self.images_total and not self.uninspected
        )


@dataclass(frozen=True)
class Decision:
    """Verdict of a policy. `blocked` is what a gate obeys; with dry_run it never stops anything."""

    verdict: Outcome
    policy: str
    policy_version: str
    coverage: Coverage
    reasons: tuple[Reason, ...] = ()
    verdicts: tuple[Verdict, ...] = field(default=(), repr=False)
    dry_run: bool = False
    cached: bool = False
    degraded: bool = False
    """A guard failed and fail_open let this pass."""
    latency_ms: float = 0.0

    @property
    def blocked(self) -> bool:
        return self.verdict == "block" and not self.dry_run

    @property
    def p_unsafe(self) -> float | None:
        return max((v.p_unsafe for v in self.verdicts if v.p_unsafe is not None), default=None)

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c for v in self.verdicts for c in v.categories))

    def to_json(self) -> dict[str, Any]:
        """The answer of our own endpoint."""
        guards = [
            {
                "name": v.guard, "label": v.label, "p_unsafe": v.p_unsafe, "categories": list(v.categories),
                "calibrated": v.calibrated, "revision": v.revision, "rationale": v.rationale, "reason": v.reason,
                "severity": v.severity, "refusal": v.refusal, "undone": list(v.inspected.undone),
            }
            for v in self.verdicts
        ]  # fmt: skip
        return {
            "verdict": self.verdict, "blocked": self.blocked, "policy": self.policy,
            "policy_version": self.policy_version, "dry_run": self.dry_run, "degraded": self.degraded,
            "reasons": [asdict(reason) for reason in self.reasons],
            "coverage": {**asdict(self.coverage), "truncated": False}, "p_unsafe": self.p_unsafe,
            "guards": guards, "latency_ms": round(self.latency_ms, 2), "cached": self.cached,
        }  # fmt: skip
