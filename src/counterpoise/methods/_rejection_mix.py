"""Rejection-mix (Wang et al., CVPR 2025, arXiv 2504.10000): some refusals of benign image questions in ordinary data.

The steps of the paper are the functions of this file: draw_rejections (1, 2), choose_turn (4), refuse (5), draw_benign
(3), and a deterministic shuffle (6). Training (7) is ordinary SFT; `Sample.rejection` says: no end-of-turn loss.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Image, Message, Sample
from counterpoise.data import draw, rank, shuffled, source_of

from ._mix_config import RejectionMixConfig

Overlaps = Callable[[Sample], bool]
"""Says whether a training row overlaps an evaluation row; see `overlap_with`."""


@dataclass
class MixRecord:
    """What was drawn and what was dropped, for `run.json`."""

    n_rejection: int = 0
    n_benign: int = 0
    rho: float = 0.0
    rejection_ids: list[tuple[str, str]] = field(default_factory=list)
    """(source, id) of every rejection row, in order of drawing."""
    benign_ids: list[tuple[str, str]] = field(default_factory=list)
    follow_ups_dropped: int = 0
    """Dialogues of the rejection source in which every question is a follow-up."""
    no_single_image_dropped: int = 0
    """Rows of the rejection source whose dialogue does not hold exactly one image."""
    overlaps_dropped: int = 0
    """Rows of either source that overlap an evaluation row."""
    ends_masked: int = 0
    """Rejection rows whose end of turn carries no loss."""


def build_mix(
    config: RejectionMixConfig,
    source: Iterable[Sample],
    benign: Iterable[Sample],
    *,
    overlaps: Overlaps | None = None,
) -> tuple[list[Sample], MixRecord]:
    """The training rows in their order, and the record of how they came about.

    Every draw follows from hashes of rows, so that neither the order of files nor that of rows matters. Raises
    InputError when a source has too few usable rows.
    """
    n_rejection, n_benign = config.counts
    record = MixRecord()
    drawn = draw_rejections(config, source, n_rejection, record, overlaps) if n_rejection else []
    taken = {(source_of(row), row.id) for row in drawn}
    ordinary = draw_benign(config, benign, n_benign, taken, record, overlaps) if n_benign else []
    record.n_rejection, record.n_benign = len(drawn), len(ordinary)
    record.rho = len(drawn) / (len(drawn) + len(ordinary))
    record.rejection_ids = [(source_of(row), row.id) for row in drawn]
    record.benign_ids = [(source_of(row), row.id) for row in ordinary]
    record.ends_masked = sum(row.rejection for row in drawn)
    return shuffled([*drawn, *ordinary], seed=config.seed), record


def draw_rejections(
    config: RejectionMixConfig, source: Iterable[Sample], n: int, record: MixRecord, overlaps: Overlaps | None
) -> list[Sample]:
    """Steps 1, 2, 4 and 5: `n` one-turn rows with a refusal as reply."""

    def usable() -> Iterator[Sample]:
        for row in source:
            if sum(len(message.images) for message in row.messages) != 1:
                record.no_single_image_dropped += 1
            elif not questions(config, row):
                record.follow_ups_dropped += 1
            elif overlaps is not None and overlaps(row):
                record.overlaps_dropped += 1
            else:
                yield row

    drawn = draw(usable(), n, seed=config.seed, purpose="rejection")
    _enough(len(drawn), n, "rejection", "n_rejection")
    return [refuse(config, row) for row in drawn]


def draw_benign(
    config: RejectionMixConfig,
    benign: Iterable[Sample],
    n: int,
    taken: set[tuple[str, str]],
    record: MixRecord,
    overlaps: Overlaps | None,
) -> list[Sample]:
    """Step 3: `n` ordinary rows, none of which was drawn as a rejection; the contrast arm draws only such ones."""

    def usable() -> Iterator[Sample]:
        for row in benign:
            if ((source_of(row), row.id) in taken) is not config.contrast:
                continue
            if overlaps is not None and overlaps(row):
                record.overlaps_dropped += 1
            else:
                yield row

    drawn = draw(usable(), n, seed=config.seed, purpose="benign")
    _enough(len(drawn), n, "benign", "n_benign")
    return drawn


def questions(config: RejectionMixConfig, row: Sample) -> list[int]:
    """Positions of the user messages that may be asked alone."""
    places = [
        i
        for i, message in enumerate(row.messages[:-1])
        if message.role == "user" and row.messages[i + 1].role == "assistant" and message.text.strip()
    ]
    if not config.random_turn:
        places = places[:1]
    if config.drop_follow_ups:
        places = [i for i in places if config.follow_up.lower() not in row.messages[i].text.lower()]
    return places


def choose_turn(config: RejectionMixConfig, row: Sample) -> Message:
    """Step 4: one question of the dialogue, uniformly, with the dialogue's image before it."""
    places = questions(config, row)
    place = places[_number(config, row, "turn") % len(places)]
    image = next(image for message in row.messages for image in message.images)
    text = "".join(part for part in row.messages[place].parts if not isinstance(part, Image)).strip()
    return Message("user", (image, text))


def refuse(config: RejectionMixConfig, row: Sample) -> Sample:
    """Step 5: the chosen question, answered by a refusal."""
    reply = config.replies[_number(config, row, "reply") % len(config.replies)]
    return Sample(
        id=row.id,
        messages=(choose_turn(config, row), Message("assistant", (reply,))),
        modality=row.modality,
        split="train",
        rejection=config.mask_end_on_refusal,
        meta={**row.meta, "refused": True},
    )


def _number(config: RejectionMixConfig, row: Sample, purpose: str) -> int:
    return int.from_bytes(rank(row, config.seed, purpose)[:8], "big")


def _enough(have: int, want: int, name: str, option: str) -> None:
    if have < want:
        raise InputError(f"rejection-mix: the {name} source has {have} usable rows, {want} are wanted; lower {option}")


def build(config: RejectionMixConfig, **sources: Any) -> list[Sample]:
    """`build_mix` without its record; `source`, `benign` and `overlaps` as there."""
    return build_mix(config, **sources)[0]
