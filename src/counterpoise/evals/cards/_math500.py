"""MATH-500 (Hendrycks et al. 2021, arXiv 2103.03874; the 500 problems of Lightman et al. 2023, arXiv 2305.20050).

File: `math500/test.jsonl`. `inspect_evals` has the 5,000 problems of MATH, not these 500.
"""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.chat import Sample, user
from counterpoise.data.sources import Hub, Source, Take

from .. import _files, _tables
from .._benchmark import Benchmark, In

PROMPT = "{}\n\nThink step by step, and put the final answer into \\boxed{{}}."
DATA = Source(
    "math500", "MATH-500", Hub("HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),
    (Take("test.jsonl", "math500/test.jsonl",
          sha256="35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132"),),
    licence="MIT", size=446_564,
)  # fmt: skip


def read(file: Path) -> Iterator[Sample]:
    """Zero-shot. Raises InputError."""
    for number, row in _tables.table(file, ("unique_id", "level")):
        yield Sample(
            id=_tables.text(row, "unique_id", file, number),
            messages=(user(PROMPT.format(_tables.text(row, "problem", file, number))),),
            target=_tables.text(row, "answer", file, number),
            split="test",
            group=_tables.text(row, "subject", file, number),
            meta={"level": row["level"]},
        )


CARDS = (
    Benchmark(
        name="math500",
        title="MATH-500",
        description="""Accuracy of the boxed final answer, zero-shot, equal as text in a normal form or as a number.
        Without computer algebra: near lm-eval's exact_match, at most its math_verify.""",
        modality="text",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Hendrycks et al. 2021, arXiv 2103.03874; Lightman et al. 2023, arXiv 2305.20050",
        official="equivalence of the boxed answer",
        revision="test split",
        rows=500,
        scorers=("math-final:v2",),
        metrics=("accuracy",),
        read=lambda: read(_files.path("math500", "test.jsonl")),
        missing=_files.need("math500", "test.jsonl", origin=f"test.jsonl of {DATA.origin.place}"),
        data=(DATA,),
        split="test",
        max_new_tokens=1024,
        grouped="groups",
        suites=(In("core", 50), In("reasoning")),
    ),
)
