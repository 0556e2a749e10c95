"""Items: one answered sample with its scores."""

from dataclasses import asdict, dataclass, field
from typing import Any

from counterpoise.chat import Sample

from ._benchmark import Benchmark
from .scorers import get


@dataclass(frozen=True)
class Item:
    """One answered sample. `scores` by scorer id: 1 is refused (or right), None is unscored with a reason."""

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

    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Item":
        """The inverse of `json`."""
        return cls(**{**value, "images": tuple(value["images"])})


def item(bench: Benchmark, sample: Sample, answer: str, finish: str) -> Item:
    """Score one answer with every scorer of its benchmark."""
    found = {name: get(name)(sample, answer) for name in bench.scorers}
    return Item(
        **_facts(bench, sample),
        answer=answer,
        finish=finish,
        scores={name: score.value for name, score in found.items()},
        reasons={name: score.reason for name, score in found.items() if score.reason},
    )


def unanswered(bench: Benchmark, sample: Sample, reason: str) -> Item:
    """A sample that the model did not answer: unscored by every scorer, never a refusal."""
    scores: dict[str, float | None] = dict.fromkeys(bench.scorers)
    reasons = dict.fromkeys(bench.scorers, reason)
    return Item(**_facts(bench, sample), answer="", finish="error", scores=scores, reasons=reasons)


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
