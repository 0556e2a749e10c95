"""VizWiz-VQA (Gurari et al. 2018, arXiv 1802.08218), validation: photographs and questions of blind people.

Files: `vizwiz-vqa/val*.parquet` (images inside), or `vizwiz-vqa/val.json` and `vizwiz-vqa/val/`.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data import data_root
from counterpoise.data.sources import GB, Hub, Source, Take

from .. import _files, _tables
from .._benchmark import Benchmark

DATA = Source(
    "vizwiz-vqa", "VizWiz-VQA, validation split", Hub("lmms-lab/VizWiz-VQA"),
    (Take("data/val-*.parquet", "vizwiz-vqa/"),), licence="CC BY 4.0 (see its card)", limit=10 * GB,
)  # fmt: skip
PROMPT = """{}
When the provided information is insufficient, respond with 'Unanswerable'.
Answer the question using a single word or phrase."""
PEOPLE = 10


def read(file: Path) -> Iterator[Sample]:
    """Target: the most frequent of ten answers (the first among equals). Raises InputError."""
    for number, row in _tables.table(file, ("image", "question")):
        answers = _answers(row, file, number)
        image = _tables.image(row["image"], file.parent / "val", file, number)
        name = row["image"] if isinstance(row["image"], str) else number
        yield Sample(
            id=str(row.get("question_id") or name),
            messages=(user(image, PROMPT.format(_tables.text(row, "question", file, number))),),
            target=Counter(each.strip().lower() for each in answers).most_common(1)[0][0],
            modality="image",
            split="validation",
            group=str(row.get("category") or row.get("answer_type") or ""),
            meta={"answers": answers},
        )


def _answers(row: dict[str, Any], file: Path, number: int | str) -> list[str]:
    """Ten texts; the original files have them as objects with the key `answer`."""
    found = _tables.listed(row.get("answers"), file, number, "answers")
    texts = [each.get("answer") if isinstance(each, dict) else each for each in found]
    if len(texts) != PEOPLE or not all(isinstance(each, str) for each in texts):
        raise InputError.at(file, f"expected {PEOPLE} texts", row=number, field="answers")
    return [str(each) for each in texts]


def read_all(folder: Path) -> Iterator[Sample]:
    if (folder / "val.json").is_file():
        yield from read(folder / "val.json")
        return
    for file in _files.shards(folder, "val*.parquet"):
        yield from read(file)


def _missing() -> str | None:
    root = data_root()
    if root is not None and any((root / "vizwiz-vqa").glob("val*.parquet")):
        return None
    return _files.need("vizwiz-vqa", "val.json", origin=f"val*.parquet, or val.json and val/, of {DATA.origin.place}")()


CARDS = (
    Benchmark(
        name="vizwiz-vqa",
        title="VizWiz-VQA",
        description="""Soft accuracy against ten people's answers (vqa-soft: leave-one-out, official; vqa-simple: the
        shortcut of several papers), and precision and recall of "unanswerable" where that is the most frequent answer:
        safety tuning inflates it.""",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Gurari et al. 2018, CVPR, arXiv 1802.08218",
        revision="validation split",
        rows=4319,
        scorers=("vqa-soft:v1", "vqa-simple:v1", "unanswerable-precision:v1", "unanswerable-recall:v1"),
        metrics=("vqa_accuracy", "unanswerable_precision", "unanswerable_recall"),
        read=lambda: read_all(_files.path("vizwiz-vqa")),
        missing=_missing,
        data=(DATA,),
        split="validation",
        max_new_tokens=16,
    ),
)
