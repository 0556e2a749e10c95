"""The pairs of a run: from files or of our own, those of the model's own replies, and the prompts of PPO."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from counterpoise.base import InputError, atomic_write, sha256_file
from counterpoise.chat import Conversation, Image, Message, Sample
from counterpoise.data import Preference, Rated, ReadRecord, read_preferences
from counterpoise.data.pocket_sets import preference_pairs

from .._sources import Overlaps
from ._config import SafeRLHFConfig
from ._own import own_replies, sampled_pairs
from ._rollouts import Ask

if TYPE_CHECKING:
    from counterpoise.models import Loaded

SAMPLED = 300
"""Requests that a model answers itself beside the pairs of our own, where nothing else is said."""


@dataclass
class Pairs:
    """Training and held-out pairs, and where they come from, for `run.json`."""

    train: list[Preference]
    held_out: list[Preference]
    record: dict[str, Any] = field(default_factory=dict)
    own: list[Rated] = field(default_factory=list)
    """The model's own replies to requests of validation families: a cost model is to be right about these too."""

    def ordered(self, by: Literal["helpfulness", "safety"], *, held_out: bool = False) -> list[Preference]:
        """Those with an order of that kind (and two different replies)."""
        rows = self.held_out if held_out else self.train
        return [row for row in rows if (row.by_helpfulness() if by == "helpfulness" else row.by_safety()) is not None]

    def asks(self) -> list[Ask]:
        """Every training prompt once."""
        found: dict[str, Ask] = {}
        for row in self.train:
            found.setdefault(key_of(row.prompt), Ask(row.id, row.prompt, row.meta.get("harmful")))
        return list(found.values())


def key_of(prompt: Conversation) -> str:
    """Of a prompt's texts and image contents."""
    parts = [[m.role, *[p.sha256 if isinstance(p, Image) else f"t{p}" for p in m.parts]] for m in prompt]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def gather(config: SafeRLHFConfig, loaded: "Loaded", out: Path, overlaps: Overlaps | None) -> Pairs:
    """The pairs of a run. Prompts that overlap an evaluation row are left out and counted. Raises InputError when none
    are left, or a file is wrong."""
    cost = config.stage == "cost" or (config.stage == "all" and config.cost_model is None)
    if config.pairs:
        train, record = _read(config.pairs, config, out)
        held = _read(config.held_out, config, out)[0] if config.held_out else []
    else:
        train, held = preference_pairs("train", seed=config.seed), preference_pairs("validation", per_prompt=2)
        held = _read(config.held_out, config, out)[0] if config.held_out else held
        record = {"from": "counterpoise.data.pocket_sets.preference_pairs", "seed": config.seed}
    clean, dropped = _without_overlaps(train, overlaps)
    chosen = drawn(clean, config.n_pairs, config.seed)
    n = config.sampled if config.sampled is not None else 0 if config.pairs else SAMPLED
    if n:
        made = sampled_pairs(loaded, n, config.seed, out / "data" / "sampled.jsonl")
        own, left_out = _without_overlaps(made, overlaps)
        chosen, dropped = chosen + own, dropped + left_out
        record |= {"sampled": n, "sampled_pairs": len(own)}
    replies = own_replies(loaded, n // 4, config.seed, out / "data" / "sampled.jsonl") if n and cost else []
    if not chosen:
        raise InputError("safe-rlhf-v: no pair is left; give other pairs")
    record |= {"pairs": len(chosen), "overlaps_dropped": dropped}
    return Pairs(chosen, drawn(held, config.n_held_out, config.seed), record, replies)


def drawn(rows: Sequence[Preference], n: int | None, seed: int) -> list[Preference]:
    """`n` rows, or all: those whose hash with the seed is smallest, whatever the order of the file."""

    def place(row: Preference) -> bytes:
        texts = [reply.text for reply in row.replies]
        return hashlib.sha256(json.dumps([seed, row.meta.get("source"), row.id, texts]).encode()).digest()

    return sorted(rows, key=place)[: len(rows) if n is None else n]


def _read(files: Iterable[Path], config: SafeRLHFConfig, out: Path) -> tuple[list[Preference], dict[str, Any]]:
    record, rows = ReadRecord(), list[Preference]()
    ordered = sorted(files, key=lambda file: file.name)
    for one, other in itertools.pairwise(ordered):
        if one.name == other.name:  # their rows would have the same ids
            raise InputError(f"{one} and {other} have the same file name; rename one of them")
    for file in ordered:
        found = read_preferences(file, config.images, skip_bad=config.skip_bad_rows, record=record)
        rows += [_on_disk(row, out / "data" / "images") for row in found]
    hashes = {file.name: sha256_file(file) for file in ordered}
    return rows, {"from": "files", "sha256": hashes, "rows_read": record.rows, "bad_rows": record.bad_rows}


def _on_disk(row: Preference, folder: Path) -> Preference:
    """The row with images that only memory holds (those of Parquet files) as files of ours: memory does not grow."""

    def stored(image: Image) -> Image:
        target = folder / image.sha256
        if not target.is_file():
            with atomic_write(target, "wb") as file:
                file.write(image.read())
        return Image.from_path(target)

    def moved(message: Message) -> Message:
        parts = tuple(stored(p) if isinstance(p, Image) and p.path is None else p for p in message.parts)
        return dataclasses.replace(message, parts=parts)

    return dataclasses.replace(row, prompt=tuple(map(moved, row.prompt)))


def _without_overlaps(rows: Sequence[Preference], overlaps: Overlaps | None) -> tuple[list[Preference], int]:
    if overlaps is None:
        return list(rows), 0
    known: dict[str, bool] = {}
    kept = []
    for row in rows:
        key = key_of(row.prompt)
        if key not in known:
            known[key] = overlaps(Sample(row.id, row.prompt, modality=row.modality, meta=row.meta))
        if not known[key]:
            kept.append(row)
    return kept, len(rows) - len(kept)
