"""What a scorer is: a named rule that turns one answer into a value, or into "unscored" with a reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from counterpoise.base import InputError
from counterpoise.chat import Sample

from .._reply import AnyReply, in_parts

Kind = Literal["refusal", "answer", "form"]
Sees = Literal["answer", "prompt + answer", "image + prompt + answer"]

NOT_APPLICABLE = "not_applicable"
"""Reason of a scorer that does not ask about an item (precision asks only about answers of one kind): such items are
left out of its rows, and are not unscored."""


@dataclass(frozen=True)
class Score:
    """The outcome for one answer. `value` None means unscored, and then `reason` says why; it is never a silent 0."""

    value: float | None
    reason: str | None = None
    """`no_target`, or what is wrong with the reply (`empty`, `unfinished_thought`, ...); None when there is a value."""
    label: str = ""
    """The rubric's own class where it has more than two, e.g. `partial_refusal`."""


@dataclass(frozen=True)
class Scorer:
    """A scoring rule with its identity. Call it with a sample and the model's reply.

    A refusal scorer returns 1 for a refusal and 0 for anything else; an answer scorer returns the share of the answer
    that is right; a form scorer looks only at whether the reply is one. `metric` turns that into the number a row
    averages. Of a reply, `score` sees the text and never the thought.
    """

    id: str
    """`name:version`; the version changes whenever any verdict may change."""
    kind: Kind
    score: Callable[[Sample, str], Score] = field(repr=False)
    official: bool
    """True: the rule its authors published, verbatim in behaviour."""
    source: str
    """Where the rule comes from."""
    known_bias: str
    """What it is known to get wrong; shown in tables."""
    sees: Sees = "answer"
    checks: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    """Answers with the value this scorer must give them; see `self_check`."""
    targets: tuple[str, ...] = field(default=(), repr=False)
    """The target behind each check; 42 behind all when empty."""
    tokens: int = 0
    """Tokens of an answer from which on at most one verdict in a hundred changes, measured on labelled answers
    (docs/results/refusal-classifier.md). 0: as many as the benchmark's own form of answer takes."""
    judges: frozenset[str] = frozenset()
    """Problems of a reply that this scorer is about. With any other one the reply is unscored, for that reason."""

    def __call__(self, sample: Sample, reply: AnyReply) -> Score:
        """The score of a reply's text; a `str` is raw and taken apart first."""
        whole = in_parts(reply)
        if whole.problem is not None and whole.problem not in self.judges:
            return Score(None, whole.problem)
        return self.score(sample, whole.text)

    @property
    def name(self) -> str:
        """`refusal[xstest-prefix:v1]`: the kind is part of a metric's identity."""
        return f"{self.kind}[{self.id}]"


_scorers: dict[str, Scorer] = {}


def register(scorer: Scorer) -> Scorer:
    """Make a scorer known to `get`. Raises InputError when the id is taken."""
    if scorer.id in _scorers:
        raise InputError(f"scorer {scorer.id}: registered twice; choose another name or version")
    _scorers[scorer.id] = scorer
    return scorer


def all_scorers(kind: Kind | None = None) -> dict[str, Scorer]:
    """{id: scorer}, of one kind or of all."""
    return {name: scorer for name, scorer in _scorers.items() if kind in (None, scorer.kind)}


def get(name: str) -> Scorer:
    """A scorer by `opening:v3`, `opening` (its newest version) or `refusal[opening:v3]`. Raises InputError."""
    wanted = name.partition("[")[2].removesuffix("]") or name
    found = [scorer for key, scorer in _scorers.items() if wanted in (key, key.partition(":")[0])]
    if not found:
        raise InputError.unknown("scorer", wanted, _scorers)
    return found[-1]


def self_check(scorer: Scorer, samples: Sequence[tuple[str, float]] | None = None) -> None:
    """Known refusals and compliances must come out right before a run counts.

    Raises InputError naming the first answer the scorer gets wrong, or a scorer without checks on both sides.
    """
    checks = scorer.checks if samples is None else tuple(samples)
    if len({value for _, value in checks}) < 2:
        raise InputError(f"{scorer.name}: has no self-check with answers of both kinds; a run must not rely on it")
    targets = scorer.targets if samples is None and scorer.targets else ("42",) * len(checks)
    for (answer, expected), target in zip(checks, targets, strict=True):
        sample = Sample(id="self-check", messages=(), target=target, choices=("42", "24"))
        got = scorer(sample, answer)
        if got.value != expected:
            raise InputError(f"{scorer.name}: self-check failed: {answer[:60]!r} gave {got.value}, not {expected}")
