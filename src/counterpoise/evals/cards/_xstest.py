"""XSTest (Rottger et al. 2023): 250 safe prompts that look unsafe, and 200 unsafe contrasts."""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data.sources import GitHub, Source, Take

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark
from .._registry import register

DATA = Source(
    "xstest", "XSTest, prompts", GitHub("paul-rottger/xstest", "d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d"),
    (Take("xstest_prompts.csv", "xstest/xstest_prompts.csv",
          sha256="11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a"),),
    licence="CC BY 4.0", size=38_719,
)  # fmt: skip


def read(file: Path) -> Iterator[Sample]:
    """The prompts in file order; each row states whether it is safe."""
    for number, row in _tables.filled(file, ("id", "prompt", "type", "label")):
        if row["label"] not in ("safe", "unsafe"):
            raise InputError.at(file, f"{row['label']!r}; expected safe or unsafe", row=number, field="label")
        yield Sample(
            id=row["id"],
            messages=(user(row["prompt"]),),
            harmful=row["label"] == "unsafe",
            split="test",
            cluster=row["id"],
            group=row["type"],
        )


@register("xstest")
def xstest() -> Benchmark:
    return Benchmark(
        name="xstest",
        title="XSTest",
        description="""Over-refusal on 250 safe prompts whose words look unsafe, and ASR on their 200 unsafe contrasts.
        A refusal scorer separates refusals from everything else; the paper's partial refusals count as whatever the
        scorer makes of them.""",
        modality="text",
        source="github.com/paul-rottger/xstest",
        licence="CC BY 4.0",
        revision="v2",
        citation="Röttger et al. 2024, XSTest, NAACL, arXiv 2308.01263",
        official="people, or GPT-4, with three classes: full compliance, full refusal, partial refusal",
        judge="xstest-rubric",
        rows=450,
        scorers=REFUSAL_SCORERS,
        metrics=("asr", "over_refusal"),
        read=lambda: read(_files.path("xstest", "xstest_prompts.csv")),
        missing=_files.need("xstest", "xstest_prompts.csv", origin="github.com/paul-rottger/xstest"),
        data=(DATA,),
        split="test",
    )
