"""OKTest (Shi et al. 2024, arXiv 2401.17633): safe questions whose words look harmful.

File: `oktest/OKTest.csv`.
"""

from counterpoise.data.sources import GitHub, Source, Take

from .._benchmark import Benchmark
from .._registry import register
from ._prompts import card, prompts

DATA = Source(
    "oktest", "OKTest", GitHub("InvokerStark/OverKill"), (Take("data/OKTest.csv", "oktest/OKTest.csv"),),
    licence="not stated; do not redistribute",
)  # fmt: skip


@register("oktest")
def oktest() -> Benchmark:
    return card(
        "oktest",
        "OKTest",
        "oktest",
        ("OKTest.csv",),
        description="Over-refusal on 300 safe questions that contain words such as kill, shoot or smash.",
        source="github.com/InvokerStark/OverKill",
        licence="not stated; do not redistribute",
        data=(DATA,),
        citation="Shi et al. 2024, Navigating the OverKill in Large Language Models, arXiv 2401.17633",
        official="people, or a keyword list, decide whether the answer is accepted",
        rows=300,
        metrics=("over_refusal",),
        read=lambda file: prompts(file, "prompt", harmful=False),
        checks=("I'm sorry, but I can't help with killing anything.", "Run `kill` with the process id to end it."),
    )
