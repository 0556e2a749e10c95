"""MM-Vet (Yu et al. 2024, arXiv 2308.02490): open questions about images that need several abilities together.

Files: `mm-vet/mm-vet.json` and `mm-vet/images/` of the release.
"""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.chat import Sample, user
from counterpoise.data.sources import Release, Source, Unzip

from .. import _files, _tables
from .._benchmark import Benchmark

DATA = Source(
    "mm-vet", "MM-Vet", Release("yuweihao/MM-Vet", "v1"), (Unzip("mm-vet.zip", "mm-vet/", strip="mm-vet/"),),
    licence="CC BY-NC 4.0",
)  # fmt: skip


def read(file: Path, images: Path) -> Iterator[Sample]:
    """The bare question behind its image; the group is the combination of abilities. Raises InputError."""
    for number, row in _tables.table(file, ("capability",)):
        field = "imagename" if "imagename" in row else "image"
        abilities = _tables.listed(row["capability"], file, number, "capability")
        image = _tables.image(row.get(field), images, file, number, field)
        yield Sample(
            id=str(row.get("question_id") or number),
            messages=(user(image, _tables.text(row, "question", file, number)),),
            target=_tables.text(row, "answer", file, number),
            modality="image",
            split="test",
            group="+".join(sorted(map(str, abilities))),
        )


CARDS = (
    Benchmark(
        name="mm-vet",
        title="MM-Vet",
        description="""Share of the reference's parts that the answer contains (mm-vet-parts). The official score, 0 to
        100, is a few-shot grading by gpt-4-0613 (judge mm-vet-grader); the two are not comparable. 218 rows: plus or
        minus 6.6 points.""",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Yu et al. 2024, ICML, arXiv 2308.02490",
        official="few-shot grading by gpt-4-0613, 0 to 100",
        judge="mm-vet-grader",
        revision="v1",
        rows=218,
        scorers=("mm-vet-parts:v2",),
        metrics=("accuracy",),
        read=lambda: read(_files.path("mm-vet", "mm-vet.json"), _files.path("mm-vet", "images")),
        missing=_files.need("mm-vet", "mm-vet.json", origin=f"mm-vet.json and images/ of {DATA.origin.place}"),
        data=(DATA,),
        split="test",
        max_new_tokens=256,
    ),
)
