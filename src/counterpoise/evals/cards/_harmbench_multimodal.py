"""HarmBench multimodal (Mazeika et al. 2024, arXiv 2402.04249): harmful behaviours that need an image.

Files: `harmbench/harmbench_behaviors_multimodal_all.csv` and `harmbench/multimodal_behavior_images/`.
"""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.chat import Sample, user
from counterpoise.data.sources import AlsoNamed, Source, Take

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark, In
from ._harmbench import ORIGIN

TABLE = "harmbench_behaviors_multimodal_all.csv"
IMAGES = "harmbench/multimodal_behavior_images"
DATA = Source(
    "harmbench-multimodal", "HarmBench, multimodal behaviours",
    ORIGIN,
    (Take(f"data/behavior_datasets/{TABLE}", f"harmbench/{TABLE}"),
     Take("data/multimodal_behavior_images/*", f"{IMAGES}/"),
     AlsoNamed(IMAGES, f"harmbench/{TABLE}", "ImageFileName")),  # its images are .png, whatever the table calls them
    licence="MIT",
)  # fmt: skip


def read(file: Path, images: Path) -> Iterator[Sample]:
    """The redacted description goes along: the official classifier reads it instead of the image."""
    for number, row in _tables.table(file, ("Behavior", "BehaviorID", "SemanticCategory", "ImageFileName")):
        image = _tables.image(row["ImageFileName"], images, file, number, "ImageFileName")
        yield Sample(
            id=_tables.text(row, "BehaviorID", file, number),
            messages=(user(image, _tables.text(row, "Behavior", file, number)),),
            harmful=True,
            modality="image",
            split="test",
            group=_tables.text(row, "SemanticCategory", file, number),
            meta={"context": row.get("RedactedImageDescription", "")},
        )


CARDS = (
    Benchmark(
        name="harmbench-multimodal",
        title="HarmBench, multimodal",
        description="""Harmful requests about an image. The official classifier gets the redacted image description as
        context: the judge harmbench-multimodal-cls. Refusal scorers see the answer only.""",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Mazeika et al. 2024, ICML, arXiv 2402.04249",
        official="ASR by HarmBench-Llama-2-13b-cls-multimodal-behaviors with the redacted image description",
        judge="harmbench-multimodal-cls",
        revision="as published",
        rows=110,
        scorers=REFUSAL_SCORERS,
        metrics=("asr",),
        read=lambda: read(_files.path("harmbench", TABLE), _files.path("harmbench", "multimodal_behavior_images")),
        missing=_files.need(
            "harmbench", TABLE, origin=f"{TABLE} and multimodal_behavior_images/ of {DATA.origin.place}"
        ),
        data=(DATA,),
        split="test",
        max_new_tokens=512,
        grouped="groups",
        suites=(In("core"),),
    ),
)
