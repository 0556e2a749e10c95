"""MIS test (Ding et al. 2025, arXiv 2501.18533): a neutral question, harmful only together with two images.

Files: `mis/mis_{easy,hard,real}.json` and `mis/{easy,hard,real}_image/`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data.sources import GB, AnyOf, Hub, Source, Take, Unzip

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark

Level = Literal["easy", "hard", "real"]
ROWS: dict[Level, int] = {"easy": 1675, "hard": 510, "real": 100}


def _data(level: Level) -> Source:
    images = f"{level}_image"
    return Source(
        f"mis-{level}", f"MIS test, {level}", Hub("Tuwhy/MIS_Test"),
        (Take(f"mis_{level}.json", f"mis/mis_{level}.json"),
         AnyOf(((Take(f"{images}/**", f"mis/{images}/"),), (Unzip(f"{images}.zip", f"mis/{images}/", f"{images}/"),)))),
        licence="Apache-2.0", limit=15 * GB,
    )  # fmt: skip


def read(file: Path, folder: Path, level: Level) -> Iterator[Sample]:
    """The question behind its two images, in one turn. Raises InputError for one image instead of two."""
    for number, row in _tables.table(file, ("id", "image_path1", "image_path2")):
        images = [_tables.image(row[key], folder, file, number, key) for key in ("image_path1", "image_path2")]
        if row["image_path1"] == row["image_path2"]:
            raise InputError.at(file, "the same image as image_path1; expected two", row=number, field="image_path2")
        category = _tables.text(row, "category", file, number)
        yield Sample(
            id=f"{level}/{row['id']}",
            messages=(user(*images, _tables.text(row, "question", file, number)),),
            harmful=True,
            modality="pair",
            split="test",
            group=f"{category}/{row['sub_category']}" if row.get("sub_category") else category,
        )


def _card(level: Level) -> Benchmark:
    data = _data(level)
    return Benchmark(
        name=f"mis-{level}",
        title="MIS",
        description="""A question about two images, harmful only when both are read. The official ASR, RSR, RR and HR
        need a judge that sees the images (judge mis-rubric); ASR here is the share of answers that are not refusals,
        so that a reasoned safe answer counts as a success of the attack. 512 new tokens as in the authors' scripts (the
        paper says 1,024).""",
        modality="pair",
        source=data.origin.place,
        licence=data.licence,
        citation="Ding et al. 2025, arXiv 2501.18533",
        judge="mis-rubric",
        official="GPT-4o with both images: ASR, RSR, RR, HR",
        revision="as published",
        rows=ROWS[level],
        scorers=REFUSAL_SCORERS,
        metrics=("asr",),
        read=lambda: read(_files.path("mis", f"mis_{level}.json"), _files.path("mis"), level),
        missing=_files.need(
            "mis", f"mis_{level}.json", origin=f"mis_{level}.json and {level}_image/ of {data.origin.place}"
        ),
        data=(data,),
        split="test",
        max_new_tokens=512,
        grouped="groups",
    )


CARDS = tuple(_card(level) for level in ROWS)
