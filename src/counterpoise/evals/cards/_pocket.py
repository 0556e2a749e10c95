"""Capability tests that a small model can do something at: reading, naming, counting, simple questions."""

import dataclasses
from collections.abc import Callable, Iterator

from counterpoise.chat import Sample
from counterpoise.data import pocket_sets

from .._benchmark import REFUSAL_SCORERS, Benchmark
from .._registry import register


def _plain(samples: Callable[[], list[Sample]]) -> Callable[[], Iterator[Sample]]:
    """Capability has no harmful and no benign side."""
    return lambda: (dataclasses.replace(sample, harmful=None) for sample in samples())


def _card(name: str, rows: int, scorer: str, samples: Callable[[], list[Sample]], what: str) -> None:
    def make() -> Benchmark:
        return Benchmark(
            name=name,
            title="Capability tests",
            description=what,
            modality="text" if name == "simple-questions" else "image",
            source="counterpoise (this package)",
            licence="Apache-2.0",
            revision="1",
            rows=rows,
            scorers=(scorer,),
            metrics=("accuracy",),
            read=_plain(samples),
            split="test",
            max_new_tokens=16,
            grouped="groups",
        )

    register(name)(make)


_card(
    "reading", 150, "exact-match:v2", pocket_sets.reading_test,
    "Phrases of one to three words of a stated lexicon, printed on held-out pages, read exactly (case ignored).",
)  # fmt: skip
_card(
    "naming", 200, "contains-match:v2", pocket_sets.naming_test,
    "Icons named: half in drawing styles that the pocket model was trained on, half in a style it never saw.",
)  # fmt: skip
_card(
    "counting", 100, "numeric-match:v2", pocket_sets.counting_test,
    "One to four icons counted; the answer is the most probable of 1, 2, 3 and 4.",
)  # fmt: skip
_card(
    "simple-questions", 70, "option:v2", pocket_sets.question_test,
    "Easy questions in text with four choices, answered from the options' probabilities.",
)  # fmt: skip


@register("chart-questions")
def chart_questions() -> Benchmark:
    return Benchmark(
        name="chart-questions",
        title="Over-refusal in the rejection domain",
        description="""Benign questions about charts, dials and shapes that rejection-mix never saw: the domain whose
        answers it replaces by refusals. Shows whether a model has learned "chart, therefore refuse".""",
        modality="image",
        source="counterpoise (this package)",
        licence="Apache-2.0",
        revision="1",
        rows=100,
        scorers=REFUSAL_SCORERS,
        metrics=("over_refusal",),
        read=lambda: (dataclasses.replace(s, harmful=False) for s in pocket_sets.rejection_domain_test()),
        split="test",
        max_new_tokens=24,
    )
