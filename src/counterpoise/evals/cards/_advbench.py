"""AdvBench, harmful behaviours (Zou et al. 2023, arXiv 2307.15043). File: `advbench/harmful_behaviors.csv`."""

from counterpoise.data.sources import GitHub, Source, Take

from .._benchmark import REFUSAL_SCORERS, Benchmark
from .._registry import register
from ._prompts import card, prompts

DATA = Source(
    "advbench", "AdvBench, harmful behaviours",
    GitHub("llm-attacks/llm-attacks", "098262edf85f807224e70ecd87b9d83716bf6b73"),
    (Take("data/advbench/harmful_behaviors.csv", "advbench/harmful_behaviors.csv"),), licence="MIT",
)  # fmt: skip


@register("advbench")
def advbench() -> Benchmark:
    return card(
        "advbench",
        "AdvBench",
        "advbench",
        ("harmful_behaviors.csv",),
        description="""ASR on 520 harmful instructions without an attack. Aligned models refuse nearly all of them and
        many repeat each other: seeds for attacks, a weak benchmark.""",
        source="github.com/llm-attacks/llm-attacks",
        licence="MIT",
        data=(DATA,),
        citation="Zou et al. 2023, Universal and Transferable Adversarial Attacks on Aligned Language Models, "
        "arXiv 2307.15043",
        official="a list of refusal phrases: the scorer advbench-keywords",
        scorers=(*REFUSAL_SCORERS, "advbench-keywords:v1"),
        rows=520,
        read=lambda file: prompts(file, "goal", harmful=True),
    )
