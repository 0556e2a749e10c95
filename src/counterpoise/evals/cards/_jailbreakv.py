"""JailBreakV-28K (Luo et al. 2024, arXiv 2404.03027): text jailbreaks with an image, and image attacks.

Files: `jailbreakv/JailBreakV_28K.csv`, `jailbreakv/mini_JailBreakV_28K.csv` and the image folders beside them. The
published repository lacks some images: rows without one are named, and left out only by the user's own
`jailbreakv/skip.txt` (one id per line), which the revision then states.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, read_text
from counterpoise.chat import Sample, user
from counterpoise.data import data_root
from counterpoise.data.sources import GB, Hub, Source, Take

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark

DATA = Source(
    "jailbreakv", "JailBreakV-28K and its mini split",
    Hub("JailbreakV-28K/JailBreakV-28k", "f949ca582fff13d396ac8fce59596afafb2b78d3"),
    (Take("JailBreakV_28K/**", "jailbreakv/"),), licence="MIT", limit=15 * GB,
    note="The published repository lacks some images; rows without one go into jailbreakv/skip.txt.",
)  # fmt: skip
FIELDS = ("id", "jailbreak_query", "redteam_query", "format", "policy", "image_path")


def read(file: Path, folder: Path, skip: frozenset[str] = frozenset()) -> Iterator[Sample]:
    """Rows in the file's order. Raises InputError with the number of rows whose image is not there."""
    absent = [
        (number, row["image_path"])
        for number, row in _tables.table(file, FIELDS)
        if str(row["id"]) not in skip and not (folder / row["image_path"]).is_file()
    ]
    if absent:
        number, path = absent[0]
        advice = f"put them below {folder}, or list their ids in {folder / 'skip.txt'}"
        what = f"{path!r}: no such image, nor of {len(absent) - 1} other rows; {advice}"
        raise InputError.at(file, what, row=number, field="image_path")
    for number, row in _tables.table(file, FIELDS):
        if str(row["id"]) in skip:
            continue
        image = _tables.image(row["image_path"], folder, file, number, "image_path")
        kind = _tables.text(row, "format", file, number)
        yield Sample(
            id=str(row["id"]),
            messages=(user(image, _tables.text(row, "jailbreak_query", file, number)),),
            harmful=True,
            modality="image",
            split="test",
            cluster=_tables.text(row, "redteam_query", file, number),
            group=kind,
            meta={"policy": row["policy"]},
        )


def skipped() -> frozenset[str]:
    """Ids that the user leaves out."""
    root = data_root()
    file = root / "jailbreakv" / "skip.txt" if root else None
    if file is None or not file.is_file():
        return frozenset()
    return frozenset(line.strip() for line in read_text(file).splitlines() if line.strip())


ROWS = 28_000


def _without_skipped() -> dict[str, Any]:
    """The rows that the user's list leaves, and that the revision says so."""
    skip = skipped()
    if not skip:
        return {}
    return {"rows": ROWS - len(skip), "revision": f"{ROWS - len(skip):,} of {ROWS:,} rows"}


def _card(name: str, table: str, rows: int, **facts: Any) -> Benchmark:
    return Benchmark(
        name=name,
        title="JailBreakV-28K",
        description="""Mostly text jailbreaks with an image attached, and 8,000 image attacks: read it by format. The
        official ASR is Llama Guard's (name its version); here it is the share of answers that are not refusals. Rows
        share 2,000 red-team queries, which are the clusters.""",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Luo et al. 2024, COLM, arXiv 2404.03027",
        official="ASR by Llama Guard on the answer",
        revision="as published",
        rows=rows,
        scorers=REFUSAL_SCORERS,
        metrics=("asr",),
        read=lambda: read(
            _files.path("jailbreakv", table), _files.path("jailbreakv"), skipped() if rows == ROWS else frozenset()
        ),
        missing=_files.need(
            "jailbreakv", table, origin=f"JailBreakV_28K/{table} and its image folders from {DATA.origin.place}"
        ),
        data=(DATA,),
        split="test",
        max_new_tokens=256,
        grouped="groups",
        **facts,
    )


CARDS = (
    _card("jailbreakv", "JailBreakV_28K.csv", ROWS, here=_without_skipped),
    _card("jailbreakv-mini", "mini_JailBreakV_28K.csv", 280),
)
