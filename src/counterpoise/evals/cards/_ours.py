"""What this package brings along: Twins, the same intent as text, print, picture and pair, harmful and benign side by
side; and capability tests that a small model can do something at: reading, naming, counting, simple questions."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

from counterpoise.chat import Sample
from counterpoise.data import pocket_sets, twins

from .._benchmark import REFUSAL_SCORERS, Benchmark, In

TwinSplit = Literal["validation", "test"]
MADE_HERE: dict[str, Any] = {"source": "counterpoise (this package)", "licence": "Apache-2.0", "revision": "1"}


def _twins(name: str, split: TwinSplit, title: str, what: str, **place: Any) -> Benchmark:
    return Benchmark(
        name=name,
        label="twins",  # the split is a field of its own in rows and items
        title=title,
        description=f"""{what} A family is a harmful request and its benign twin with nearly the same surface, in four
        modalities: text, print (the phrase in an image), picture (an icon and a text that refers to it), pair (two
        images, harmful only together). ASR on the harmful side, over-refusal on the benign side, discrimination between
        them, and the gap between images and text, paired by family.""",
        modality="text, print, picture, pair",
        rows=8 * len(twins.families(split)),
        scorers=REFUSAL_SCORERS,
        metrics=("asr", "over_refusal", "discrimination", "modality_gap"),
        read=lambda: iter(twins.samples(split)),
        split=split,
        max_new_tokens=32,
        **MADE_HERE,
        **place,
    )


def _side(samples: Callable[[], list[Sample]], harmful: bool | None) -> Callable[[], Iterator[Sample]]:
    return lambda: (replace(sample, harmful=harmful) for sample in samples())


def _test(name: str, rows: int, scorer: str, samples: Callable[[], list[Sample]], what: str, *places: In) -> Benchmark:
    """Capability has no harmful and no benign side."""
    return Benchmark(
        name=name,
        title="Capability tests",
        description=what,
        modality="text" if name == "simple-questions" else "image",
        rows=rows,
        scorers=(scorer,),
        metrics=("accuracy",),
        read=_side(samples, None),
        split="test",
        max_new_tokens=16,
        grouped="groups",
        suites=(In("core"), *places),
        **MADE_HERE,
    )


# A first look must end while one looks: `smoke` has 27 of 39 families, eight items each, and a third of what only shows
# whether reading was lost. On two plain cores the answers cost what their tokens cost (0.3 TFLOP/s, the cores' limit).
CARDS = (
    _twins("twins", "test", "Twins", "Test families, never trained on.", suites=(In("core"),)),
    _twins(
        "twins-validation", "validation", "Twins, validation families",
        "For a quick look, and for choosing a dose. Rows are named twins, with split validation.",
        suites=(In("smoke", 216),), not_in_core="for choosing settings; core tests on the other families",
    ),
    _test(
        "reading", 150, "exact-match:v2", pocket_sets.reading_test,
        "Phrases of one to three words of a stated lexicon, printed on held-out pages, read exactly (case ignored).",
        In("smoke", 50),
    ),
    _test(
        "naming", 200, "contains-match:v2", pocket_sets.naming_test,
        "Icons named: half in drawing styles that the pocket model was trained on, half in a style it never saw.",
    ),
    _test(
        "counting", 100, "numeric-match:v2", pocket_sets.counting_test,
        "One to four icons counted; the answer is the most probable of 1, 2, 3 and 4.",
    ),
    _test(
        "simple-questions", 70, "option:v3", pocket_sets.question_test,
        "Easy questions in text with four choices, answered from the options' probabilities.",
        In("smoke"),
    ),
    Benchmark(
        name="word-tasks",
        title="Word tasks",
        description="""Words sorted, counted and chosen, in text: the task of the built-in user set, on words that no
        training row holds. Accuracy, and how often a task is refused.""",
        modality="text",
        rows=120,
        scorers=("exact-match:v2", *REFUSAL_SCORERS),
        metrics=("accuracy", "over_refusal"),
        read=_side(pocket_sets.word_task_test, False),
        split="test",
        max_new_tokens=32,
        not_in_core="the task of one built-in training set, which other models have not learned",
        **MADE_HERE,
    ),
    Benchmark(
        name="chart-questions",
        title="Over-refusal in the rejection domain",
        description="""Benign questions about charts, dials and shapes that rejection-mix never saw: the domain whose
        answers it replaces by refusals. Shows whether a model has learned "chart, therefore refuse".""",
        modality="image",
        rows=100,
        scorers=REFUSAL_SCORERS,
        metrics=("over_refusal",),
        read=_side(pocket_sets.rejection_domain_test, False),
        split="test",
        max_new_tokens=24,
        suites=(In("core"),),
        **MADE_HERE,
    ),
)  # fmt: skip
