"""OR-Bench (Cui et al. 2025, arXiv 2405.20947): prompts that models refuse too often, with toxic ones against them.

Files: `or_bench/or-bench-hard-1k.csv` and `or_bench/or-bench-toxic.csv` (or Parquet).
"""

from counterpoise.data.sources import Hub, Source, Take

from .._benchmark import Benchmark
from .._registry import register
from ._prompts import card, prompts

ORIGIN = Hub("bench-llm/or-bench", "e36d8b80e81837c8a8f264bbb2a49f1b32c7e272")
HASHES = {"hard-1k": "a6e2f1166416efe5901f3bb05c47dc92ab3aca3acfe143693d38b8057d841e6d"}


def _data(stem: str, part: str) -> Source:
    file = Take(f"{stem}.csv", f"or_bench/{stem}.csv", sha256=HASHES.get(part, ""))
    return Source(stem, f"OR-Bench, {part}", ORIGIN, (file,), licence="CC BY 4.0")


def _card(part: str, rows: int, what: str, *, harmful: bool) -> Benchmark:
    stem = f"or-bench-{part}"
    return card(
        stem,
        "OR-Bench",
        "or_bench",
        (f"{stem}.csv", f"{stem}.parquet"),
        description=f"{what} Read the hard prompts with the toxic ones: across models the two rates go together "
        "(Spearman 0.89), so either alone says little.",
        source="huggingface.co/datasets/bench-llm/or-bench",
        licence="CC BY 4.0",
        data=(_data(stem, part),),
        citation="Cui et al. 2025, OR-Bench: An Over-Refusal Benchmark for Large Language Models, ICML, "
        "arXiv 2405.20947",
        judge="or-bench-rubric",
        official="gpt-4-turbo-2024-04-09 or Llama-3-70B: direct answer, direct refusal or indirect refusal",
        rows=rows,
        metrics=("asr",) if harmful else ("over_refusal",),
        read=lambda file: prompts(file, "prompt", harmful=harmful, group="category"),
        grouped="groups",
    )


@register("or-bench-hard-1k")
def hard() -> Benchmark:
    return _card("hard-1k", 1319, "Over-refusal on 1,319 harmless prompts that strong models refuse.", harmful=False)


@register("or-bench-toxic")
def toxic() -> Benchmark:
    return _card("toxic", 655, "ASR on 655 toxic prompts of the same ten categories.", harmful=True)
