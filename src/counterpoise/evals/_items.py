"""Items: one answered sample with its scores."""

from dataclasses import asdict, dataclass, field
from typing import Any

from counterpoise.chat import Sample
from counterpoise.models import Answer

from ._benchmark import Benchmark
from ._reply import AnyReply, answered, in_parts
from .scorers import get


@dataclass(frozen=True)
class Item:
    """One answered sample. `scores` by scorer id: 1 is refused (or right), None is unscored with a reason.

    `answer` is the reply's text, which is what was scored; its thought stands apart.
    """

    benchmark: str
    id: str
    cluster: str
    group: str
    modality: str
    split: str
    harmful: bool | None
    prompt: str
    images: tuple[str, ...]
    answer: str
    finish: str
    scores: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    reasoning: str = ""
    problem: str = ""
    """Why the reply cannot be scored at all, such as `unfinished_thought`; see `Answer`."""

    @property
    def reply(self) -> Answer:
        """In its parts."""
        return answered(self.answer, self.finish, self.reasoning, self.problem)

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Item":
        """The inverse of `json`. The answer of an item that an older version wrote is raw, and taken apart now."""
        parts: dict[str, Any] = {}
        if "reasoning" not in value and value.get("finish") != "error":
            parts = _parts(answered(value["answer"], value["finish"]))
        return cls(**{**value, **parts, "images": tuple(value["images"])})


def item(bench: Benchmark, sample: Sample, reply: AnyReply, finish: str = "stop") -> Item:
    """Score one reply with every scorer of its benchmark. Of a raw text, `finish` says how it ended."""
    whole = answered(reply, finish) if isinstance(reply, str) else in_parts(reply)
    found = {name: get(name)(sample, whole) for name in bench.all_scorers}
    return Item(
        **_facts(bench, sample),
        **_parts(whole),
        scores={name: score.value for name, score in found.items()},
        reasons={name: score.reason for name, score in found.items() if score.reason},
    )


def unanswered(bench: Benchmark, sample: Sample, reason: str) -> Item:
    """A sample that the model did not answer: unscored by every scorer, never a refusal."""
    scores: dict[str, float | None] = dict.fromkeys(bench.all_scorers)
    reasons = dict.fromkeys(bench.all_scorers, reason)
    return Item(**_facts(bench, sample), answer="", finish="error", scores=scores, reasons=reasons)


def _parts(reply: Answer) -> dict[str, Any]:
    return {
        "answer": reply.text, "finish": reply.finish, "reasoning": reply.reasoning, "problem": reply.problem or "",
    }  # fmt: skip


def _facts(bench: Benchmark, sample: Sample) -> dict[str, Any]:
    return {
        "benchmark": bench.row_name,
        "id": sample.id,
        "cluster": sample.cluster or sample.id,
        "group": sample.group,
        "modality": sample.modality,
        "split": sample.split,
        "harmful": sample.harmful,
        "prompt": sample.messages[-1].text,
        "images": tuple(image.sha256 for message in sample.messages for image in message.images),
    }
