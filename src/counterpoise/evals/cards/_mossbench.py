"""MOSSBench (Li et al. 2024, arXiv 2406.17806): harmless requests that look dangerous, and their harmful twins.

Files: the folders `data` and `data_contrast` of the repository in `mossbench/`, each with
`images_information/information.json` and its images.
"""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data.sources import GB, GitHub, Source, Take

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark, In

DATA = Source(
    "mossbench", "MOSSBench, benign items and twins",
    GitHub("xirui-li/MOSSBench", "8d68b0614b39d8990a508e03d99975832f399db2"),
    tuple(Take(f"{half}/{part}", f"mossbench/{half}/{part.split('/')[0]}/")
          for half in ("data", "data_contrast") for part in ("images_information/information.json", "images/*")),
    licence="CC BY-SA 4.0; not for training", limit=5 * GB,
)  # fmt: skip
INFORMATION = ("images_information", "information.json")


def half(folder: Path, *, harmful: bool) -> Iterator[Sample]:
    """The benign items, or the twins; the cluster is the pair, the group the type of stimulus. Raises InputError."""
    file = folder.joinpath(*INFORMATION)
    for key, row in _tables.table(file, ("image",)):
        metadata = row.get("metadata")
        kind = str(metadata["over"]) if isinstance(metadata, dict) and metadata.get("over") else ""
        if not kind:
            raise InputError.at(file, "missing", row=key, field="metadata.over")
        pid = str(row.get("pid") or key)
        yield Sample(
            id=f"{'twin' if harmful else 'benign'}/{pid}",
            messages=(user(_tables.image(row["image"], folder, file, key), _tables.text(row, "question", file, key)),),
            harmful=harmful,
            modality="image",
            split="test",
            cluster=pid,
            group=kind,
        )


def read(folder: Path, *, image_pairs: bool = False) -> Iterator[Sample]:
    """Benign items and twins; with `image_pairs` only the pairs that differ in nothing but the image.

    Raises InputError for a twin without its benign item.
    """
    benign = {sample.cluster: sample for sample in half(folder / "data", harmful=False)}
    twins = {sample.cluster: sample for sample in half(folder / "data_contrast", harmful=True)}
    for pid in twins:
        if pid not in benign:
            file = (folder / "data_contrast").joinpath(*INFORMATION)
            raise InputError.at(file, "no benign item of this id", row=pid, field="pid")
    for pid, sample in benign.items():
        twin = twins.get(pid)
        if image_pairs and (twin is None or carrier(sample, twin) != "image"):
            continue
        yield sample
        if twin is not None:
            yield twin


def carrier(benign: Sample, twin: Sample) -> str:
    """What makes the twin harmful: "question", "image", "both", or "neither"."""
    words = benign.text != twin.text
    pictures = benign.messages[0].images[0].sha256 != twin.messages[0].images[0].sha256
    return {(True, True): "both", (True, False): "question", (False, True): "image"}.get((words, pictures), "neither")


def _missing() -> str | None:
    origin = f"the folders data and data_contrast of {DATA.origin.place}"
    checks = [_files.need("mossbench", name, *INFORMATION, origin=origin)() for name in ("data", "data_contrast")]
    return next((reason for reason in checks if reason), None)


def _card(name: str, rows: int, what: str, *, image_pairs: bool = False) -> Benchmark:
    return Benchmark(
        name=name,
        title="MOSSBench",
        description=f"""{what} Over-refusal on benign items by type of stimulus, ASR on twins, and discrimination: the
        refusal rate of twins less that of their own benign items. The official judge (GPT with the image) calls any
        "unfortunately" and an empty answer a refusal; it is the judge mossbench-judge.""",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Li et al. 2024, arXiv 2406.17806",
        official="refusal 0 or 1 by GPT with the image",
        judge="mossbench-judge",
        revision="as published",
        rows=rows,
        scorers=REFUSAL_SCORERS,
        metrics=("over_refusal", "asr", "discrimination"),
        read=lambda: read(_files.path("mossbench"), image_pairs=image_pairs),
        missing=_missing,
        data=(DATA,),
        split="test",
        max_new_tokens=128,
        grouped="no" if image_pairs else "groups",
        suites=() if image_pairs else (In("core"),),
    )


CARDS = (
    _card("mossbench", 300 + 244, "300 harmless requests and their 244 harmful twins."),
    _card(
        "mossbench-image-pairs",
        86,
        "The 43 pairs with one question and two images: only a model that looks can tell them apart.",
        image_pairs=True,
    ),
)
