"""What the model says itself: pairs of its own replies to train on, and own replies to measure on.

A reward or cost model is asked about what the policy says. One that has only read replies of others can be right about
those and worse than chance about the policy's (docs/results/safe-rlhf-pocket.md has the numbers), and PPO finds that
out.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from counterpoise.base import Progress
from counterpoise.chat import Sample
from counterpoise.data import Preference, Rated, twins
from counterpoise.data.pocket_sets import prefer, rate_reply
from counterpoise.evals import Journal

if TYPE_CHECKING:
    from counterpoise.models import Loaded

LONGEST = 48
"""Tokens of a reply that is sampled."""
AT_ONCE = 64
"""A stopped run repeats at most so many replies."""


def sampled_pairs(loaded: "Loaded", n: int, seed: int, journal: Path) -> list[Preference]:
    """Pairs of two replies that the model samples to each of `n` training requests of Twins, rated by the rule. Pairs
    in which the rule sees no difference by either label are left out. Replies of a stopped run are taken from the
    journal."""
    from counterpoise.models import Decoding

    asked = _drawn("train", n, seed)
    replies = [_replies(loaded, asked, Decoding(LONGEST, 1.0, seed=seed * 2 + copy), journal) for copy in (0, 1)]
    made = [
        prefer(request, first, second, f"{request.id}-sampled-{seed}")
        for request, first, second in zip(asked, *replies, strict=True)
    ]
    return [row for row in made if row.more_helpful is not None or row.safer is not None]


def own_replies(loaded: "Loaded", n: int, seed: int, journal: Path) -> list[Rated]:
    """One reply that the model samples to each of `n` requests of Twins' validation families, rated by the rule."""
    from counterpoise.models import Decoding

    asked = _drawn("validation", n, seed)
    replies = _replies(loaded, asked, Decoding(LONGEST, 1.0, seed=seed), journal)
    return [
        Rated(f"{row.id}-own-{seed}", row.messages, rate_reply(row, text), row.group, modality=row.modality,
              split=row.split, cluster=row.cluster, meta={**row.meta, "harmful": bool(row.harmful)})
        for row, text in zip(asked, replies, strict=True)
    ]  # fmt: skip


def _drawn(split: Literal["train", "validation"], n: int, seed: int) -> list[Sample]:
    return sorted(twins.samples(split), key=lambda s: hashlib.sha256(f"{seed} {s.id}".encode()).digest())[:n]


def _replies(loaded: "Loaded", asked: Sequence[Sample], decoding: Any, file: Path) -> list[str]:
    journal = Journal(file, loaded.fingerprint)
    keys = [journal.key(sample, repr(decoding)) for sample in asked]
    try:
        todo = [place for place, key in enumerate(keys) if key not in journal]
        if todo:
            _sample(loaded, {keys[place]: asked[place] for place in todo}, decoding, journal)
    finally:
        journal.close()
    return [str(row["answer"]) if (row := journal.get(key)) else "" for key in keys]


def _sample(loaded: "Loaded", asked: Mapping[str, Sample], decoding: Any, journal: Journal) -> None:
    from counterpoise.models import Engine

    engine, keys = Engine(loaded), list(asked)
    try:
        with Progress("sampling", len(keys), unit="replies") as bar:
            for first in range(0, len(keys), AT_ONCE):
                some = keys[first : first + AT_ONCE]
                answers = engine.generate([asked[key].messages for key in some], decoding)
                for key, answer in zip(some, answers, strict=True):
                    journal.put_reply(key, answer)
                bar.advance(len(some))
    finally:
        engine.close()
