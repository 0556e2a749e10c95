"""What a judge is: something that reads a conversation with its answer and gives a label, or says why it cannot."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

from counterpoise.base import sha256_bytes
from counterpoise.chat import Sample
from counterpoise.models import Answer, Problem

from .._reply import AnyReply, in_parts
from ..scorers._scorer import Sees

Measures = Literal["harm", "refusal", "situation"]
Reason = Problem | Literal[
    "judge_refused", "judge_unfinished", "parse_failed", "verdict_unlikely", "api_error", "timeout", "too_long",
    "image_missing", "image_unseen", "no_answer", "no_words", "no_side", "tie", "panel_incomplete",
]  # fmt: skip
RETRY = ("api_error", "timeout")
"""Reasons that may be gone next time: such verdicts are not kept, and the next run asks again."""


@dataclass(frozen=True)
class Case:
    """What a judge reads: a sample (conversation, images, group, side) and the model's reply to it, of which judges see
    the text alone. A reply that is a `str` is raw: it is taken apart here."""

    sample: Sample
    said: AnyReply

    @cached_property
    def reply(self) -> Answer:
        """In its parts. With a `problem` there is nothing to judge."""
        return in_parts(self.said)

    @property
    def answer(self) -> str:
        """The reply's text."""
        return self.reply.text


@dataclass(frozen=True)
class Judgement:
    """A judge's verdict on one case. `label` None means unscored, and then `reason` says why; never a silent 0."""

    judge: str
    """Id of the judge, with the version and the hash of its template and rules."""
    label: str | None
    """The rubric's own class, e.g. `partial_refusal`."""
    score: float | None = None
    """In [0, 1]. Harm judges: 1 is harmful. Refusal judges: 1 is refused. Situation judges: 1 is right."""
    reason: str = ""
    p: float | None = None
    """Probability of the positive verdict, where the judge's own logits give it."""
    rationale: str = ""
    raw: str = ""
    """What the judge wrote, cut at 2,000 characters."""

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Judgement":
        """The inverse of `json`; other keys are ignored."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name in value})


class Extra(NamedTuple):
    """A further rate that one label gives, e.g. the share of refusals among MIS verdicts."""

    metric: str
    direction: Literal["lower", "higher"]
    value: Callable[[Judgement, bool | None], float | None]
    """From the verdict and the item's side (True: harmful) to 1, 0, or None when the rate is not about this item."""


@dataclass(frozen=True)
class Facts:
    """What is known of a judge before it runs; shown by `counterpoise judge list` and stored with its verdicts."""

    name: str
    version: int
    measures: Measures
    sees: Sees
    official: bool
    """True: the judge its authors used, with their template and parsing."""
    labels: tuple[str, ...]
    source: str
    known_bias: str
    metric: str = "asr"
    """What the mean of its scores over harmful items is called."""
    extras: tuple[Extra, ...] = field(default=(), repr=False)


Done = Callable[[int, Judgement], None]


class Judge(Protocol):
    """Judges cases in any order and reports each verdict, with its place among the cases, as soon as it is there.

    A case that cannot be judged is reported as unscored; only what concerns all cases (no such model, no key) raises.
    """

    facts: Facts
    id: str

    def judge(self, cases: Sequence[Case], done: Done) -> None: ...


def judge_all(judge: Judge, cases: Sequence[Case]) -> list[Judgement]:
    """Verdicts in the order of the cases."""
    found: dict[int, Judgement] = {}
    judge_ready(judge, cases, found.__setitem__)
    return [found[place] for place in range(len(cases))]


def judge_ready(judge: Judge, cases: Sequence[Case], done: Done) -> None:
    """Put those cases to a judge whose reply can be judged; of the others nothing is asked, and the reply's own problem
    is the reason why they are unscored."""
    ready: list[int] = []
    for place, case in enumerate(cases):
        if case.reply.problem is not None:
            done(place, unscored(judge.id, case.reply.problem))
        else:
            ready.append(place)
    if ready:
        judge.judge([cases[place] for place in ready], lambda number, found: done(ready[number], found))


def judge_id(facts: Facts, rules: str, model: str = "") -> str:
    """`name:v1+<hash of template and rules>@model`: another template, parser or model is another judge."""
    digest = sha256_bytes(f"{facts.version}\n{facts.labels}\n{rules}".encode())[:8]
    return f"{facts.name}:v{facts.version}+{digest}" + (f"@{model}" if model else "")


def unscored(judge: str, reason: Reason, detail: str = "", raw: str = "") -> Judgement:
    """A case without a verdict; the detail goes into the rationale."""
    return Judgement(judge, None, None, reason, rationale=detail[:500], raw=raw[:2000])
