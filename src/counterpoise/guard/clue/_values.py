"""What CLUE says about an image, with all that led to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ._decide import Path, Truth


class Box(NamedTuple):
    """A region in pixels of the upright image; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        return max(self.right - self.left, 0) * max(self.bottom - self.top, 0)

    def clamp(self, width: int, height: int) -> "Box":
        """The part inside an image of this size."""
        return Box(max(self.left, 0), max(self.top, 0), min(self.right, width), min(self.bottom, height))

    def union(self, other: "Box") -> "Box":
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


class Found(NamedTuple):
    """A detection."""

    box: Box
    confidence: float
    """In [0, 1], on the detector's own scale."""


class Reading(NamedTuple):
    """The answer to one token query."""

    m: float
    """P(yes) / (P(yes) + P(no))."""
    mass: float
    """P(yes) + P(no) over the whole vocabulary."""


@dataclass(frozen=True)
class Evidence:
    """One precondition text and how it was decided."""

    text: str
    answer: Truth
    path: Path | None
    """a: absent by its probability; b: visible by it; c: visible, since removing its region changed the answer;
    d: reasoned. None: not decided, see `reason`."""
    image: Reading | None = None
    prior: Reading | None = None
    """Without the image: the model's inclination to say yes."""
    removed: Reading | None = None
    whole: Reading | None = None
    """With the whole image, where `image` is about a crop."""
    again: Reading | None = None
    """After the reasoning, when its reply had no rating: yes and no as the next word."""
    found: Found | None = None
    cropped: bool = False
    """The region is so small that its crop was judged instead of the image."""
    rationale: str = ""
    reason: str = ""
    """Why the answer is unknown."""


@dataclass(frozen=True)
class RuleFinding:
    """One rule on one image. Preconditions behind the first that fails were not decided and are absent."""

    rule: str
    text: str
    answer: Truth
    """Whether the rule is violated."""
    chain: tuple[tuple[Evidence, ...], ...]
    """For each precondition that was decided, the members of its OR group that were looked at."""


class Scanned(NamedTuple):
    """The relevance scan's word on one rule."""

    rule: str
    similarity: float | None
    """None: the encoder has nothing to say about this rule, which is then judged."""
    kept: bool


@dataclass(frozen=True)
class ImageVerdict:
    """The verdict on one image. What could not be decided is `unknown`, never `safe`."""

    image: str
    label: Literal["safe", "unsafe", "unknown"]
    findings: tuple[RuleFinding, ...] = ()
    scan: tuple[Scanned, ...] = ()
    reason: str = ""
    """Why it is unknown; or that no rule survived the scan."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Token queries, reasoned queries and detections made for this image."""

    @property
    def violated(self) -> tuple[str, ...]:
        """Ids of the violated rules, in the order of the constitution."""
        return tuple(finding.rule for finding in self.findings if finding.answer == "yes")

    @property
    def decisive(self) -> RuleFinding | None:
        """The first violated rule, or else the first that could not be decided."""
        order = [f for wanted in ("yes", "unknown") for f in self.findings if f.answer == wanted]
        return order[0] if order else None

    def json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "image": self.image,
            "label": self.label,
            "violated": list(self.violated),
            "reason": self.reason,
            "scan": [scanned._asdict() for scanned in self.scan],
            "findings": [
                {
                    "rule": finding.rule,
                    "text": finding.text,
                    "violated": finding.answer,
                    "preconditions": [[_plain(evidence) for evidence in group] for group in finding.chain],
                }
                for finding in self.findings
            ],
            "counts": dict(self.counts),
        }


def _plain(evidence: Evidence) -> dict[str, Any]:
    value: dict[str, Any] = {"text": evidence.text, "satisfied": evidence.answer, "path": evidence.path}
    for name in ("image", "prior", "removed", "whole", "again"):
        reading: Reading | None = getattr(evidence, name)
        value[f"m_{name}"] = None if reading is None else {"m": reading.m, "mass": reading.mass}
    found = evidence.found
    value["box"] = None if found is None else {"box": list(found.box), "confidence": found.confidence}
    return value | {"cropped": evidence.cropped, "rationale": evidence.rationale, "reason": evidence.reason}
