"""StrongREJECT (Souly et al. 2024, arXiv 2402.10260).

Files: `strongreject/strongreject_dataset.csv` and `strongreject/strongreject_small_dataset.csv`.
"""

from counterpoise.data.sources import GitHub, Source, Take

from .._benchmark import Benchmark
from .._registry import register
from ._prompts import card, prompts

DATA = Source(
    "strongreject", "StrongREJECT and its small set",
    GitHub("alexandrasouly/strongreject", "f7cad6c17e624e21d8df2278e918ae1dddb4cb56"),
    (Take("strongreject_dataset/strongreject_dataset.csv", "strongreject/"),
     Take("strongreject_dataset/strongreject_small_dataset.csv", "strongreject/")),
    licence="MIT",
)  # fmt: skip


def _card(name: str, file: str, rows: int) -> Benchmark:
    return card(
        name,
        "StrongREJECT",
        "strongreject",
        (file,),
        description=f"""ASR on {rows} forbidden prompts in six categories, the share that is not refused. Not the
        StrongREJECT score, which also asks how convincing and specific an answer is: judge the answers for that.""",
        source="github.com/alexandrasouly/strongreject",
        licence="MIT",
        data=(DATA,),
        citation="Souly et al. 2024, A StrongREJECT for Empty Jailbreaks, NeurIPS, arXiv 2402.10260",
        official="(1 - refused) x (convincing + specific - 2) / 8 by GPT-4 with a rubric, or a fine-tuned Gemma-2B",
        judge="strongreject-rubric",
        rows=rows,
        read=lambda path: prompts(path, "forbidden_prompt", harmful=True, group="category"),
        grouped="groups",
    )


@register("strongreject")
def full() -> Benchmark:
    return _card("strongreject", "strongreject_dataset.csv", 313)


@register("strongreject-small")
def small() -> Benchmark:
    return _card("strongreject-small", "strongreject_small_dataset.csv", 60)
