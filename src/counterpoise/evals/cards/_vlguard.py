"""VLGuard (Zong et al. 2024, arXiv 2402.02207): unsafe images, and safe images with a safe and an unsafe instruction.

Files: `vlguard/test.json` and the content of `test.zip` in `vlguard/test/`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data.sources import GB, Hub, Source, Take, Unzip

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark

Part = Literal["unsafe", "safe-unsafe", "safe-safe"]
DATA = Source(
    "vlguard", "VLGuard, test set", Hub("ys-zong/VLGuard"),
    (Take("test.json", "vlguard/test.json"), Unzip("test.zip", "vlguard/test/", strip="test/")),
    licence="not stated; research use", gate="research use; accept the terms of ys-zong/VLGuard", limit=5 * GB,
)  # fmt: skip
KEYS: dict[Part, str] = {
    "unsafe": "instruction", "safe-unsafe": "unsafe_instruction", "safe-safe": "safe_instruction",
}  # fmt: skip
ROWS: dict[Part, int] = {"unsafe": 442, "safe-unsafe": 558, "safe-safe": 558}


def read(file: Path, images: Path, part: Part) -> Iterator[Sample]:
    """One subset; the instruction is found by its key, never by its place. Raises InputError."""
    for number, row in _tables.table(file, ("id", "image", "safe")):
        if not isinstance(row["safe"], bool):
            raise InputError.at(file, f"{row['safe']!r}; expected true or false", row=number, field="safe")
        if row["safe"] == (part == "unsafe"):
            continue
        pair = _pair(row, part, file, number)
        instruction = _tables.text(pair, KEYS[part], file, number)
        yield Sample(
            id=str(row["id"]),
            messages=(user(_tables.image(row["image"], images, file, number), instruction),),
            harmful=part != "safe-safe",
            modality="image",
            split="test",
            cluster=str(row["image"]),
            group="/".join(str(row[key]) for key in ("harmful_category", "harmful_subcategory") if row.get(key)),
            # what the win rate compares with; 17 of 558 are empty
            meta={"reference": str(pair.get("response") or "")} if part == "safe-safe" else {},
        )


def _pair(row: dict[str, Any], part: Part, file: Path, number: int | str) -> dict[str, Any]:
    for pair in _tables.listed(row.get("instr-resp"), file, number, "instr-resp"):
        if isinstance(pair, dict) and KEYS[part] in pair:
            return pair
    raise InputError.at(file, "missing in instr-resp", row=number, field=KEYS[part])


def _card(part: Part) -> Benchmark:
    what = {
        "unsafe": "A harmful instruction about an unsafe image.",
        "safe-unsafe": "A harmful instruction about a safe image.",
        "safe-safe": "A harmless instruction about a safe image: over-refusal.",
    }[part]
    more = "The paper's scorer is vlguard-list (a perfect model worded like its own labels would score ASR 27.6 %)."
    if part == "safe-safe":
        more = "The paper's win rates are the judge vlguard-win's, with a GPT-4V that is retired."
    return Benchmark(
        name=f"vlguard-{part}",
        title="VLGuard",
        description=f"{what} {more}",
        modality="image",
        source=DATA.origin.place,
        licence=DATA.licence,
        citation="Zong et al. 2024, ICML, arXiv 2402.02207",
        official="vlguard-list on unsafe requests; win rate by GPT-4V against reference answers on safe ones",
        judge="vlguard-win" if part == "safe-safe" else "",
        revision="as published",
        rows=ROWS[part],
        scorers=REFUSAL_SCORERS,
        metrics=("over_refusal",) if part == "safe-safe" else ("asr",),
        read=lambda: read(_files.path("vlguard", "test.json"), _files.path("vlguard", "test"), part),
        missing=_files.need("vlguard", "test.json", origin=f"test.json and test/ of {_files.published(DATA)}"),
        data=(DATA,),
        split="test",
        max_new_tokens=256,
        grouped="groups" if part == "unsafe" else "no",
    )


CARDS = tuple(_card(part) for part in ROWS)
