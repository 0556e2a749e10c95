"""Prompts of WildGuardTest (Han et al. 2024, arXiv 2406.18495). File: `wildguardtest/wildguard_test.parquet`."""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.chat import Sample, user
from counterpoise.data.sources import Hub, Source, Take

from .. import _tables
from .._benchmark import Benchmark
from .._registry import register
from ._prompts import card, label

DATA = Source(
    "wildguardtest", "WildGuardTest", Hub("allenai/wildguardmix"),
    (Take("test/wildguard_test.parquet", "wildguardtest/wildguard_test.parquet"),),
    licence="ODC-BY", gate="accept AI2's terms",
)  # fmt: skip
SIDES = {"harmful": True, "unharmful": False}


def read(file: Path) -> Iterator[Sample]:
    """The prompts with the label people gave them; a prompt they did not agree on has no side and counts in no rate."""
    for number, row in _tables.table(file, ("prompt", "adversarial")):
        known = row.get("prompt_harm_label") not in (None, "")
        adversarial = str(row["adversarial"]).lower() == "true"
        yield Sample(
            id=str(number),
            messages=(user(_tables.text(row, "prompt", file, number)),),
            harmful=label(row, "prompt_harm_label", SIDES, file, number) if known else None,
            split="test",
            group="adversarial" if adversarial else "vanilla",
        )


@register("wildguardtest")
def wildguardtest() -> Benchmark:
    return card(
        "wildguardtest",
        "WildGuardTest (prompts)",
        "wildguardtest",
        ("wildguard_test.parquet", "wildguard_test.jsonl", "wildguard_test.csv"),
        description="""ASR on its harmful and over-refusal on its unharmful prompts, vanilla and adversarial apart. The
        set was made for guards (F1 on prompts, answers and refusals); here its prompts are put to a chat model.""",
        source="huggingface.co/datasets/allenai/wildguardmix (accept its terms; config wildguardtest)",
        licence="ODC-BY",
        data=(DATA,),
        citation="Han et al. 2024, WildGuard, NeurIPS, arXiv 2406.18495",
        official="F1 of a guard against people's labels; answers of chat models are judged by WildGuard",
        judge="wildguard",
        gated=True,
        rows=1725,
        metrics=("asr", "over_refusal"),
        read=read,
        grouped="groups",
    )
