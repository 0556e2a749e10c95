"""What a judge is: something that reads a conversation with its answer and gives a label, or says why it cannot."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

from counterpoise.base import sha256_bytes
from counterpoise.chat import Sample
from counterpoise.models import Answer, Problem

from .._official import Claim
from .._reply import AnyReply, in_parts
from ..scorers._scorer import Sees

Measures = Literal["harm", "refusal", "situation", "quality"]
Cut = Literal["counts", "refuses"]
Reason = Problem | Literal[
    "judge_refused", "judge_unfinished", "parse_failed", "verdict_unlikely", "api_error", "timeout", "too_long",
    "image_missing", "image_unseen", "no_answer", "no_words", "no_side", "no_reference", "answer_cut", "tie",
    "panel_incomplete", "tries_incomplete",
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

    def fact(self, name: str) -> str | None:
        """What a benchmark says of this item: its `target`, or an entry of its `meta`. None where there is none."""
        value = self.sample.target if name == "target" else self.sample.meta.get(name)
        return None if value is None else str(value)


@dataclass(frozen=True)
class Judgement:
    """A judge's verdict on one case. `label` None means unscored, and then `reason` says why; never a silent 0."""

    judge: str
    """Id of the judge, with the version and the hash of its template and rules."""
    label: str | None
    """The rubric's own class, e.g. `partial_refusal`."""
    score: float | None = None
    """In [0, 1]. Harm judges: 1 is harmful. Refusal judges: 1 is refused. Situation judges: 1 is right. Quality judges:
    1 is best."""
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
    labels: tuple[str, ...]
    source: str
    known_bias: str
    metric: str = "asr"
    """What the mean of its scores over harmful items is called."""
    extras: tuple[Extra, ...] = field(default=(), repr=False)
    official: tuple[Claim, ...] = ()
    """What it is official for. Of a judge that was made: what its model and wording fulfil."""
    of: tuple[str, ...] = ()
    """Benchmarks whose facts about an item it is told (see `Case.fact`)."""
    needs: tuple[str, ...] = ()
    """Those facts that it cannot do without: it is then about items of these benchmarks only."""
    cut: Cut = "counts"
    """An answer that ended at the token limit is judged as it stands, or left unscored as `answer_cut`."""

    def proven(self, model: str = "", *, wording: bool = False) -> "Facts":
        """With the claims alone that a model and a wording fulfil."""
        kept = tuple(claim for claim in self.official if claim.holds(model, wording=wording) and not claim.tries)
        return replace(self, official=kept)

    def json(self) -> dict[str, Any]:
        """For records: the claims in words, and without the functions behind `extras`."""
        value = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "extras"}
        return value | {"official": [claim.text() for claim in self.official]}


class Unjudgeable(ValueError):
    """A case that cannot be put to a judge; `reason` is why it is unscored."""

    def __init__(self, reason: Reason, detail: str = ""):
        super().__init__(detail)
        self.reason = reason


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


def unready(facts: Facts, case: Case) -> Reason | None:
    """Why nothing is asked about a case: the reply's own problem, or that it was cut and the judge refuses such."""
    if case.reply.problem is not None:
        return case.reply.problem
    return "answer_cut" if facts.cut == "refuses" and case.reply.finish == "length" else None


def judge_ready(judge: Judge, cases: Sequence[Case], done: Done) -> None:
    """Put those cases to a judge whose reply it can judge; of the others nothing is asked, see `unready`."""
    ready: list[int] = []
    for place, case in enumerate(cases):
        if (reason := unready(judge.facts, case)) is not None:
            done(place, unscored(judge.id, reason))
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
