"""First turns of WildChat-1M (Zhao et al. 2024, arXiv 2405.01470), to see refusals drift.

Files: `wildchat/train-00000-of-00014.parquet` and its thirteen siblings.
"""

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Sample, user
from counterpoise.data.sources import GB, Hub, Source, Take

from .. import _files, _tables
from .._benchmark import REFUSAL_SCORERS, Benchmark, In

SHARDS = tuple(f"train-{number:05d}-of-00014.parquet" for number in range(14))
DATA = Source(
    "wildchat", "WildChat-1M", Hub("allenai/WildChat-1M"), (Take("data/train-*-of-00014.parquet", "wildchat/"),),
    licence="ODC-BY", limit=10 * GB,
)  # fmt: skip
KEPT = 1000
COLUMNS = ("conversation_hash", "conversation", "language", "toxic", "redacted")


def read(files: Iterable[Path], kept: int = KEPT) -> Iterator[Sample]:
    """`kept` first user turns: English, neither toxic, redacted nor blank, the smallest by SHA-256 of the
    conversation's hash, so that the choice depends on neither the order of the files nor a random state.

    A prompt that people sent again shares a cluster with the first. Raises InputError.
    """
    turns = (turn for file in files for turn in _turns(file))
    for _, name, text in heapq.nsmallest(kept, turns):
        cluster = hashlib.sha256(text.encode()).hexdigest()[:16]
        yield Sample(id=name, messages=(user(text),), split="test", cluster=cluster)


def _turns(file: Path) -> Iterator[tuple[str, str, str]]:
    for number, row in _tables.table(file, COLUMNS):
        if row["language"] != "English" or row["toxic"] or row["redacted"]:
            continue
        name = _tables.text(row, "conversation_hash", file, number)
        if text := _first(row["conversation"], file, number):
            yield hashlib.sha256(name.encode()).hexdigest(), name, text


def _first(turns: Any, file: Path, number: int | str) -> str:
    turns = _tables.listed(turns, file, number, "conversation")
    if not turns or not isinstance(turns[0], dict) or turns[0].get("role") != "user":
        raise InputError.at(file, "does not begin with a user turn", row=number, field="conversation")
    return str(turns[0].get("content") or "").strip()


def _missing() -> str | None:
    reasons = [_files.need("wildchat", name, origin=f"{name} of {DATA.origin.place}")() for name in SHARDS]
    return next(filter(None, reasons), None)


CARDS = (
    Benchmark(
        name="wildchat-drift",
        title="WildChat (drift set)",
        description=f"""Share of refusals among {KEPT:,} first turns of real users: English, by the set's own flags
        neither toxic nor redacted. Nobody labelled them safe or unsafe, so this is no safety score: compare the rate
        before and after tuning, item by item. Publish ids only: the prompts are people's own words.""",
        modality="text",
        source=DATA.origin.place,
        licence=DATA.licence,
        revision="1,000 by hash",
        rows=KEPT,
        scorers=REFUSAL_SCORERS,
        metrics=("refusal_rate",),
        read=lambda: read([_files.path("wildchat", name) for name in SHARDS]),
        missing=_missing,
        data=(DATA,),
        split="test",
        citation="Zhao et al. 2024, WildChat: 1M ChatGPT Interaction Logs in the Wild, ICLR, arXiv 2405.01470",
        official="none: the set is data, not a benchmark",
        suites=(In("safety"),),
    ),
)
