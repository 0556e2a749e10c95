"""Do-Not-Answer (Wang et al. 2023, arXiv 2308.13387). File: `do_not_answer/data_en.csv` (or Parquet)."""

from counterpoise.data.sources import Hub, Source, Take

from .._benchmark import Benchmark
from .._registry import register
from ._prompts import card, prompts

DATA = Source(
    "do-not-answer", "Do-Not-Answer", Hub("LibrAI/do-not-answer"),
    (Take("data/train-*.parquet", "do_not_answer/data_en.parquet"),),
    licence="Apache-2.0 (code; the data's not verified)",
)  # fmt: skip


@register("do-not-answer")
def do_not_answer() -> Benchmark:
    return card(
        "do-not-answer",
        "Do-Not-Answer",
        "do_not_answer",
        ("data_en.csv", "do_not_answer_en.csv", "data_en.parquet"),
        description="""ASR on 939 questions that a responsible model should not simply answer, by risk area. The authors
        count harmless answers, which need not be refusals (correcting a false premise is one); so does the judge
        do-not-answer-rubric.""",
        source="huggingface.co/datasets/LibrAI/do-not-answer",
        licence="Apache-2.0 (code; the data's not verified)",
        data=(DATA,),
        citation="Wang et al. 2023, Do-Not-Answer, Findings of EACL 2024, arXiv 2308.13387",
        judge="do-not-answer-rubric",
        official="GPT-4 sorts answers into six actions; the share of harmless ones",
        rows=939,
        read=lambda file: prompts(file, "question", harmful=True, ident="id", group="risk_area"),
        grouped="groups",
    )
