"""WildJailbreak (Jiang et al. 2024, arXiv 2406.18510), evaluation part. File: `wildjailbreak/eval.tsv` (or Parquet)."""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.chat import Sample, user
from counterpoise.data.sources import Hub, Source, Take

from .. import _tables
from .._benchmark import Benchmark
from .._registry import register
from ._prompts import card, label

DATA = Source(
    "wildjailbreak", "WildJailbreak, evaluation part",
    Hub("allenai/wildjailbreak", "5ddc12a7894f842b0619b8e1c7ee496b198af009"),
    (Take("eval/eval.tsv", "wildjailbreak/eval.tsv"),),
    licence="ODC-BY, with AI2's terms", gate="accept AI2's terms",
)  # fmt: skip
SIDES = {"adversarial_harmful": True, "adversarial_benign": False}


def read(file: Path, side: bool | None = None) -> Iterator[Sample]:
    """The adversarial prompts of one side, or of both; the id is the row's number in the file. Raises InputError."""
    for number, row in _tables.table(file, ("adversarial", "data_type")):
        harmful = label(row, "data_type", SIDES, file, number)
        if side in (None, harmful):
            text = _tables.text(row, "adversarial", file, number)
            yield Sample(str(number), (user(text),), harmful=harmful, split="test", group=row["data_type"])


def _card(name: str, rows: int, what: str, side: bool) -> Benchmark:
    return card(
        name,
        "WildJailbreak",
        "wildjailbreak",
        ("eval.tsv", "eval.parquet"),
        description=f"{what} Prompts imitate the tactics of real jailbreaks.",
        source="huggingface.co/datasets/allenai/wildjailbreak (accept its terms; config eval)",
        licence="ODC-BY, with AI2's terms",
        data=(DATA,),
        citation="Jiang et al. 2024, WildTeaming at Scale, NeurIPS, arXiv 2406.18510",
        official="WildGuard judges compliance with harmful prompts and refusal of benign ones",
        judge="wildguard",
        gated=True,
        rows=rows,
        metrics=("asr",) if side else ("over_refusal",),
        read=lambda file: read(file, side),
    )


@register("wildjailbreak-harmful")
def harmful() -> Benchmark:
    return _card("wildjailbreak-harmful", 2000, "ASR on 2,000 adversarial harmful prompts.", True)


@register("wildjailbreak-benign")
def benign() -> Benchmark:
    return _card("wildjailbreak-benign", 210, "Over-refusal on 210 adversarial prompts that ask for no harm.", False)
