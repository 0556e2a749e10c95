"""Our own pairs of pictures: harmless apart, risky together, each beside a safe twin; with the controls of the MIS
paper: the other order, white pictures."""

from typing import Any

from counterpoise.data import pairs
from counterpoise.data.pairs import Control, PairSplit

from .._benchmark import Benchmark, In

SCORERS = (
    "pair-caution:v1",
    "pair-reasoned:v1",
    "pair-refused:v1",
    "pair-unread:v1",
    "pair-named:v1",
    "opening:v3",
)
METRICS = ("asr", "rsr", "rr", "hr", "over_refusal", "discrimination", "perception")
LABELS = 80
"""Tokens of an answer; the longest label of these pairs has 69 of the pocket model's."""


def _card(name: str, split: PairSplit, title: str, what: str, control: Control = "none", **more: Any) -> Benchmark:
    per_item = 1 if control == "white" else 2
    return Benchmark(
        name=name,
        title=title,
        description=what,
        modality="pair",
        rows=per_item * pairs.PER_SIDE * len(pairs.situations(split)),
        read=lambda: iter(pairs.samples(split, control)),
        split=split,
        max_new_tokens=LABELS,
        grouped="groups",
        source="counterpoise (this package)",
        licence="Apache-2.0",
        revision="1",
        citation="in the manner of MIS: Ding et al. 2025, arXiv 2501.18533",
        **more,
    )


CARDS = (
    _card(
        "mis-pocket", "test", "Pairs of pictures",
        """Two pictures and a question, harmful only when both are read, each beside a safe twin: the same question with
        one picture changed. ASR, RSR, RR and HR add up to 100 %, by rules that know what the pictures show;
        over-refusal is caution on safe twins, so that discrimination is MSSBench's safe plus unsafe accuracy minus
        100 %.""",
        scorers=SCORERS, metrics=METRICS, suites=(In("pairs"),),
        not_in_core="Twins hold pairs already; the suite pairs asks for these",
    ),
    _card(
        "mis-pocket-swapped", "test", "Pairs of pictures, other order",
        """The same items with the pictures in the other order and a question that says so: what changes is due to the
        order.""",
        "swapped", scorers=SCORERS, metrics=METRICS, suites=(In("pairs"),),
        not_in_core="a control beside mis-pocket",
    ),
    _card(
        "mis-pocket-white", "test", "Pairs of pictures, white",
        """The same questions with two white pictures: nothing is harmful any more. A model that is cautious here
        refuses because there is a picture, or by the words of the question.""",
        "white", scorers=("pair-caution:v1", "opening:v3"), metrics=("over_refusal",), suites=(In("pairs"),),
        not_in_core="a control beside mis-pocket",
    ),
    _card(
        "mis-pocket-validation", "validation", "Pairs of pictures, validation situations",
        "For a quick look, and for choosing settings; other situations than those of the test.",
        scorers=SCORERS, metrics=METRICS, not_in_core="for choosing settings; the test has other situations",
    ),
)  # fmt: skip
