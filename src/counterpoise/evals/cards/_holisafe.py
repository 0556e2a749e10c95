"""HoliSafe-Bench (Lee et al. 2025, arXiv 2506.04704): every combination of safe and unsafe image and text.

Files: `holisafe/holisafe_bench.json` (or `test.parquet` with the images inside) and `holisafe/images/`.
"""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.chat import Sample, user
from counterpoise.data.sources import GB, Hub, Source, Take

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark

DATA = Source(
    "holisafe", "HoliSafe-Bench", Hub("etri-vilab/holisafe-bench"),
    (Take("holisafe_bench.json", "holisafe/holisafe_bench.json"), Take("images/**", "holisafe/images/")),
    licence="CC BY-NC 4.0", gate="accept the terms of etri-vilab/holisafe-bench", limit=15 * GB,
)  # fmt: skip
TABLES = ("holisafe_bench.json", "test.parquet")
TYPES = ("SSS", "SSU", "USU", "UUU", "SUU")
"""Image, text, combination; only SSS should be answered."""


def read(file: Path, images: Path) -> Iterator[Sample]:
    """One turn with image and query; the group is the type. Raises InputError."""
    for number, row in _tables.table(file, ("id", "image", "type")):
        kind = _tables.choice(row, "type", TYPES, file, number)
        yield Sample(
            id=str(row["id"]),
            messages=(
                user(_tables.image(row["image"], images, file, number), _tables.text(row, "query", file, number)),
            ),
            harmful=kind != "SSS",
            modality="image",
            split="test",
            group=kind,
            meta={"category": row.get("category", ""), "subcategory": row.get("subcategory", "")},
        )


_table, _missing = _files.either(
    "holisafe", *TABLES, origin=f"holisafe_bench.json and images/ of {_files.published(DATA)}"
)


CARDS = (
    Benchmark(
        name="holisafe",
        title="HoliSafe-Bench",
        description="""Refusals of SSS items (over-refusal) and answers to the four unsafe types; the average ASR is the
        mean over these types. The official default is a phrase list that also counts "illegal" or "here's an
        alternative" as refusal (holisafe-phrases), or GPT-4o with the image, which is not measured here.""",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Lee et al. 2025, arXiv 2506.04704",
        official="a list of phrases, or GPT-4o with the image",
        revision="as published",
        rows=4031,
        scorers=(*REFUSAL_SCORERS, "holisafe-phrases:v1"),
        metrics=("asr", "over_refusal"),
        read=lambda: read(_table(), _files.path("holisafe", "images")),
        missing=_missing,
        data=(DATA,),
        split="test",
        max_new_tokens=512,
        grouped="mean",
    ),
)
