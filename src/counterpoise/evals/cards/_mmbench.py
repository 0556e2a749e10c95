"""MMBench (Liu et al. 2024, arXiv 2307.06281), DEV_EN: each question under every rotation of its options.

Files: `mmbench/mmbench_dev_en.tsv` (images as base64) or `mmbench/dev.parquet`. Rows with an index from a million on
are published rotations; they are left out, because rotations are made here.
"""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, user
from counterpoise.data.sources import Hub, Source, Take

from .. import _files, _tables
from .._benchmark import Benchmark
from ._choice_text import DIRECT, lettered

DATA = Source(
    "mmbench", "MMBench, DEV_EN", Hub("lmms-lab/MMBench"), (Take("en/dev-*.parquet", "mmbench/dev.parquet"),),
    licence="see its card",
)  # fmt: skip
ROTATED = 1_000_000


def read(file: Path) -> Iterator[Sample]:
    """All rotations of a question, one after the other; the cluster is the question. Raises InputError."""
    for number, row in _tables.table(file, ("index",)):
        index = str(row["index"])
        if not index.isdigit():
            raise InputError.at(file, f"{index!r}; expected a number", row=number, field="index")
        if int(index) >= ROTATED:
            continue
        options = [str(row[key]) for key in "ABCD" if _given(row.get(key))]
        right = "ABCD".index(_tables.choice(row, "answer", "ABCD"[: len(options)], file, number))
        image = _image(row.get("image"), file, number)
        head = f"{row['hint']}\n" if _given(row.get("hint")) else ""
        head += _tables.text(row, "question", file, number)
        for turn in range(len(options)):
            turned = options[turn:] + options[:turn]
            yield Sample(
                id=f"{index}/{turn}",
                messages=(user(image, f"{head}\n{lettered(turned)}\n{DIRECT}"),),
                target="ABCD"[(right - turn) % len(options)],
                choices=tuple("ABCD"[: len(options)]),
                modality="image",
                split="validation",
                cluster=index,
                group=str(row.get("l2-category") or row.get("category") or ""),
                meta={"rotation": turn},
            )


def _given(value: Any) -> bool:
    """Empty cells come as "", "nan", None or a float nan."""
    return isinstance(value, str) and value.strip() not in ("", "nan")


def _image(value: Any, file: Path, number: int | str) -> Image:
    if not isinstance(value, str) or not value:
        return _tables.image(value, file.parent, file, number)
    try:
        return Image.from_bytes(base64.b64decode(value, validate=True), f"{file.name} row {number}")
    except binascii.Error as error:
        raise InputError.at(file, f"broken base64 ({error})", row=number, field="image") from error


_table, _missing = _files.either(
    "mmbench", "mmbench_dev_en.tsv", "dev.parquet", origin=f"the dev split (en) of {DATA.origin.place}"
)

CARDS = (
    Benchmark(
        name="mmbench",
        title="MMBench",
        description="""Circular accuracy: a question counts only when it is right under every rotation of its options;
        vanilla accuracy is that of the published order. The letter answers (local models: the most probable one,
        elsewhere known as circular_acc[logit]); the official evaluation lets GPT read answers that rules cannot.""",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Liu et al. 2024, ECCV, arXiv 2307.06281",
        official="circular accuracy with answers read by GPT where rules fail",
        revision="DEV_EN",
        rows=1164,
        counted="clusters",
        scorers=("letter:v3", "letter-vanilla:v3"),
        metrics=("circular_accuracy", "vanilla_accuracy"),
        read=lambda: read(_table()),
        missing=_missing,
        data=(DATA,),
        split="validation",
        max_new_tokens=8,
        grouped="groups",
    ),
)
