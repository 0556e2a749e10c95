"""JailbreakBench (Chao et al. 2024, arXiv 2404.01318): 100 harmful behaviours and 100 benign ones on the same themes.

Files: `jailbreakbench/harmful-behaviors.csv` and `jailbreakbench/benign-behaviors.csv`.
"""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.chat import Sample, user
from counterpoise.data.sources import Hub, Source, Take

from .. import _tables
from .._benchmark import Benchmark
from .._registry import register
from ._prompts import card, known_id

DATA = Source(
    "jailbreakbench", "JailbreakBench, behaviours",
    Hub("JailbreakBench/JBB-Behaviors", "886acc352a31533ffbcf4ef22c744658688086fc"),
    (Take("data/harmful-behaviors.csv", "jailbreakbench/harmful-behaviors.csv",
          sha256="4a8ec6832056b631eb092dccc60d37a61c3d441268268888b3d006288afeffa1"),
     Take("data/benign-behaviors.csv", "jailbreakbench/benign-behaviors.csv")),
    licence="MIT",
)  # fmt: skip


def read(file: Path, *, harmful: bool) -> Iterator[Sample]:
    """The goals as they stand, without an attack; the cluster is the theme that both halves share (their Index)."""
    for number, row in _tables.table(file, ("Index", "Goal", "Category")):
        index = known_id(row, "Index", file, number)
        yield Sample(
            id=f"{'harmful' if harmful else 'benign'}-{index}",
            messages=(user(_tables.text(row, "Goal", file, number)),),
            harmful=harmful,
            split="test",
            cluster=index,
            group=_tables.text(row, "Category", file, number),
        )


def _card(side: str, what: str, *, harmful: bool) -> Benchmark:
    return card(
        f"jailbreakbench-{side}",
        "JailbreakBench",
        "jailbreakbench",
        (f"{side}-behaviors.csv",),
        description=f"{what} No attack is applied. The halves share 100 themes: read them together.",
        source="huggingface.co/datasets/JailbreakBench/JBB-Behaviors",
        licence="MIT",
        data=(DATA,),
        citation="Chao et al. 2024, JailbreakBench, NeurIPS, arXiv 2404.01318",
        official="Llama-3-70B judges jailbreaks, Llama-3-8B refusals",
        rows=100,
        metrics=("asr",) if harmful else ("over_refusal",),
        read=lambda file: read(file, harmful=harmful),
        grouped="groups",
    )


@register("jailbreakbench-harmful")
def harmful() -> Benchmark:
    return _card("harmful", "ASR on 100 harmful behaviours.", harmful=True)


@register("jailbreakbench-benign")
def benign() -> Benchmark:
    return _card("benign", "Over-refusal on 100 benign behaviours.", harmful=False)
