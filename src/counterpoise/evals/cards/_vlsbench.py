"""VLSBench (Hu et al. 2025, arXiv 2411.19939): harmless words, and a picture that makes their request harmful.

Files: `vlsbench/data.json` and the content of `imgs.tar` in `vlsbench/imgs/`.
"""

from collections.abc import Iterator
from pathlib import Path

from counterpoise.chat import Sample, user
from counterpoise.data.sources import GB, Hub, Source, Take, Unzip

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark

DATA = Source(
    "vlsbench", "VLSBench", Hub("Foreshhh/vlsbench"),
    (Take("data.json", "vlsbench/data.json"), Unzip("imgs.tar", "vlsbench/")),
    licence="Apache-2.0", limit=5 * GB,
)  # fmt: skip


def read(file: Path, folder: Path) -> Iterator[Sample]:
    """The instruction behind its image; the group is the category with its part. Raises InputError."""
    for number, row in _tables.table(file, ("instruction_id", "image_path")):
        image = _tables.image(row["image_path"], folder, file, number, "image_path")
        category, part = (_tables.text(row, field, file, number) for field in ("category", "sub_category"))
        yield Sample(
            id=str(row["instruction_id"]),
            messages=(user(image, _tables.text(row, "instruction", file, number)),),
            harmful=True,
            modality="image",
            split="test",
            group=f"{category}/{part}",
            meta={"source": row.get("source", "")},
        )


CARDS = (
    Benchmark(
        name="vlsbench",
        title="VLSBench",
        description="""The harm is in the picture alone: the text was rewritten until it gives nothing away, so a model
        cannot be safe by reading. The authors' judge sees the picture and counts a refusal and a warning as safe; the
        scorers here see refusals only (its class "safe with refusal"), so an answer that warns counts as a success of
        the attack, and this ASR is above the official one.""",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Hu et al. 2025, VLSBench: Unveiling Visual Leakage in Multimodal Safety, ACL, arXiv 2411.19939",
        official="GPT-4o with the picture: safe with refusal, safe with warning, unsafe",
        revision="as published",
        rows=2241,
        scorers=REFUSAL_SCORERS,
        metrics=("asr",),
        read=lambda: read(_files.path("vlsbench", "data.json"), _files.path("vlsbench")),
        missing=_files.need("vlsbench", "data.json", origin=f"data.json and imgs.tar of {DATA.origin.place}"),
        data=(DATA,),
        split="test",
        max_new_tokens=128,
        grouped="groups",
    ),
)
