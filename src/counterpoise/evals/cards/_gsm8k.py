"""GSM8K (Cobbe et al. 2021): grade-school word problems with a number as the answer."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from counterpoise.base import InputError, read_jsonl
from counterpoise.chat import Sample, user
from counterpoise.data.sources import GitHub, Source, Take

from .. import _files, _tables
from .._benchmark import Benchmark, In, Sampling

DATA = Source(
    "gsm8k", "GSM8K, test split", GitHub("openai/grade-school-math", "3101c7d5072418e28b9008a6636bde82a006892c"),
    (Take("grade_school_math/data/test.jsonl", "gsm8k/test.jsonl",
          sha256="3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"),),
    licence="MIT", size=749_738,
)  # fmt: skip
DRAWN = Sampling(8, temperature=0.7, top_p=0.95)
PROMPT = "{}\nThink step by step, and end with the answer as a number."


def read(file: Path) -> Iterator[Sample]:
    """Zero-shot; the target is what stands behind `####`."""
    for number, row in read_jsonl(file):
        question = _tables.text(row, "question", file, number)
        answer = _tables.text(row, "answer", file, number)
        if "####" not in answer:
            raise InputError.at(file, "no '####' before the final number", row=number, field="answer")
        yield Sample(
            id=str(number),
            messages=(user(PROMPT.format(question)),),
            target=answer.rpartition("####")[2].strip(),
            split="test",
        )


GREEDY = Benchmark(
    name="gsm8k",
    title="GSM8K",
    description="Accuracy of the last number of a zero-shot answer.",
    modality="text",
    source=DATA.origin.place,
    licence=DATA.licence,
    revision="test split",
    citation="Cobbe et al. 2021, Training Verifiers to Solve Math Word Problems, arXiv 2110.14168",
    rows=1319,
    scorers=("numeric-match:v2",),
    metrics=("accuracy",),
    read=lambda: read(_files.path("gsm8k", "test.jsonl")),
    missing=_files.need("gsm8k", "test.jsonl", origin=DATA.origin.place),
    data=(DATA,),
    split="test",
    max_new_tokens=256,
    suites=(In("core", 100), In("reasoning")),
)
CARDS = (
    GREEDY,
    replace(
        GREEDY,  # tuning that narrows the distribution of answers lowers pass@8 before pass@1
        name="gsm8k-pass8",
        title="GSM8K, eight answers",
        description=f"""pass@8 and, as accuracy, pass@1 of the same {DRAWN.n} answers to each question, drawn at
        temperature {DRAWN.temperature} and top-p {DRAWN.top_p} with recorded seeds. An answer is right when its last
        number is: among eight, chance numbers help, so compare models, not papers.""",
        metrics=("pass_at_8", "accuracy"),
        sampling=DRAWN,
        counted="clusters",
        suites=(),
        not_in_core="eight sampled answers to each question",
    ),
)
