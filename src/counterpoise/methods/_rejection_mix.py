"""Rejection-mix (Wang et al., CVPR 2025, arXiv 2504.10000): some refusals of benign image questions in ordinary data.

The steps of the paper, in this file: draw_rejections (1, 2), draw_benign (3), choose_turn (4), refuse (5), a
deterministic shuffle (6), and `align` trains on the mix (7): ordinary SFT, with no end-of-turn loss on a refusal.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from counterpoise.chat import Image, Message, Sample
from counterpoise.data import rank, shuffled, source_of
from counterpoise.train import TrainConfig

from ._answers import MAX_NEW_TOKENS, own_answers
from ._knobs import Knob, Size
from ._outcome import AlignResult, write_run
from ._registry import method
from ._sources import Files, Overlaps, Source, draw_all, in_turn, made_rows, rows_from, store_rows

if TYPE_CHECKING:
    from counterpoise.models import Loaded

REPLY = "I'm sorry, but I cannot assist with your request"  # the paper's sentence; it has no final period
FRACTIONS = (0.02, 0.05, 0.10, 0.20, 2 / 7, 0.50)  # doses of a search; 2/7 is the paper's 2,000 of 7,000 rows
ROW_TOKENS = 174  # a short question with one image of 49 tokens and a chat template, and its answer


class RejectionMixConfig(BaseModel):
    """What to mix, how much of it, and how to train on it. Defaults: Wang et al. 2025, table in section 2.3."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rejection_files: Files = ()
    """LLaVA/ShareGPT files of benign, out-of-domain image questions whose replies become refusals. None: built-in."""
    rejection_images: Path | None = None
    """Folder the image paths of these files start from; default: each file's own folder."""
    benign_files: Files = ()
    """LLaVA/ShareGPT files of ordinary instructions that keep their replies. None: built-in."""
    benign_images: Path | None = None
    """Folder the image paths of these files start from; default: each file's own folder."""
    skip_bad_rows: int = Field(default=0, ge=0)
    """Bad rows of each source's files that are left out, counted and listed; one more stops the run."""
    n_rejection: int = Field(default=2000, ge=0)
    """Rejection rows (n_r)."""
    n_benign: int = Field(default=5000, ge=0)
    """Ordinary rows (n_b)."""
    total: int | None = Field(default=None, ge=1)
    """Rows altogether. Default: n_rejection + n_benign."""
    fraction: float | None = Field(default=None, ge=0, le=1)
    """Rejection fraction rho of the rows altogether. Default: n_rejection / (n_rejection + n_benign), in the paper
    2,000 / 7,000 = 28.6 %."""
    reply: str | tuple[str, ...] = REPLY
    """The refusal, or several to choose from at random for each row."""
    random_turn: bool = True
    """Choose one question of each dialogue at random; off: the first one. A rejection row always has one turn."""
    drop_follow_ups: bool = True
    """Never choose a question with `follow_up` in it; dialogues with nothing else are dropped and counted."""
    follow_up: str = "what about"
    """What marks a question that makes no sense without the one before it (compared without case)."""
    mask_end_on_refusal: bool = True
    """No loss on the end of turn of a refusal: the model learns to begin with it and stays free to explain further."""
    contrast: bool = False
    """Draw ordinary rows only from the dialogues that are also refused (the paper's "similar" arm)."""
    seed: int = 0
    """Draws, choice of turns and replies, order of rows, LoRA initialisation."""
    train: TrainConfig = TrainConfig()
    """Training settings; its seed is replaced by the one above."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(self.counts) == 0:
            raise ValueError("no rows: n_rejection and n_benign are both 0")
        replies = (self.reply,) if isinstance(self.reply, str) else self.reply
        if not replies or not all(reply.strip() for reply in replies):
            raise ValueError("reply is empty")
        return self

    @property
    def counts(self) -> tuple[int, int]:
        """(n_r, n_b) after `total` and `fraction` are taken into account."""
        default = self.n_rejection + self.n_benign
        rows = default if self.total is None else self.total
        refused = round(rows * (self.n_rejection / max(1, default) if self.fraction is None else self.fraction))
        return refused, rows - refused

    @property
    def replies(self) -> tuple[str, ...]:
        """The refusals as a tuple."""
        return (self.reply,) if isinstance(self.reply, str) else self.reply


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

    return [refuse(config, row) for row in draw_all(usable(), n, config.seed, "rejection", "n_rejection")]


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

    return draw_all(usable(), n, config.seed, "benign", "n_benign")


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


def size(config: RejectionMixConfig) -> Size:
    """Rows of the mix; built-in ordinary rows without a reply get the model's own."""
    written = 0 if config.benign_files else config.counts[1] * MAX_NEW_TOKENS
    return Size(sum(config.counts), ROW_TOKENS, config.train.epochs, written)


@method(
    "rejection-mix",
    title="Rejection-mix",
    paper="Wang et al., Do We Really Need Curated Malicious Data for Safety Alignment in Multi-modal LLMs?, CVPR 2025, "
    "arXiv 2504.10000",
    source="https://github.com/ybwang119/MLLM_safety_study",
    licence="no licence file (nothing was copied)",
    config=RejectionMixConfig,
    knobs=(
        Knob("fraction", "rejection rows", "share", grid=FRACTIONS, current=lambda c: c.counts[0] / sum(c.counts)),
        Knob("amount", "rows of the mix", "rows", setting="total", current=lambda c: sum(c.counts)),
    ),
    size=size,
)
def align(
    loaded: "Loaded",
    config: RejectionMixConfig,
    out: Path,
    *,
    source: Source | None = None,
    benign: Source | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Mix plain refusals of benign, out-of-domain image questions into ordinary instruction data and fine-tune on it.

    No harmful image or text is used: a model that refuses in text and complies through images mostly lacks refusals in
    its image data. Costs: benign questions of the rejection source's domain may be refused, which must be measured.

    Rows come from `source` and `benign` when given, else from the files the config names, else from the built-in
    rendered sets. Writes `out/data/mix.jsonl`, `out/adapter/`, `out/run.json`. Running again resumes or returns what is
    there. Raises InputError for anything the user can mend.
    """
    from counterpoise.train import SFT, fit

    started = time.monotonic()
    journal = out / "data" / "answers.jsonl"
    if not resume:
        journal.unlink(missing_ok=True)
    n_refused, n_kept = config.counts
    files = config.rejection_files, config.rejection_images
    rows_of = partial(rows_from, skip_bad=config.skip_bad_rows)
    with in_turn(out):
        refused = rows_of(source, *files, config.seed, "rejection", partial(made_rows, "rejection_source", n_refused))
        if config.contrast and benign is None and not config.benign_files:  # what is refused elsewhere is kept here
            kept = rows_of(source, *files, config.seed, "rejection", partial(made_rows, "rejection_source", n_refused))
        else:
            own = partial(
                made_rows, "ordinary_instructions", n_kept, fill=partial(own_answers, loaded, journal=journal)
            )
            kept = rows_of(benign, config.benign_files, config.benign_images, config.seed, "benign", own)
        rows, record = build_mix(config, refused.rows, kept.rows, overlaps=overlaps)
        mix, file = store_rows(out, "mix", rows)
    del rows  # training reads them from the file, however many they are
    built = time.monotonic()
    train = config.train.model_copy(update={"seed": config.seed})
    result = fit(loaded, mix, SFT(), train, out, resume=resume)
    return write_run(
        out,
        method="rejection-mix",
        loaded=loaded,
        config=config.model_copy(update={"train": train}),
        artifact=result.artifact,
        data={"rejection": refused.origin, "benign": kept.origin, "mix": file} | dataclasses.asdict(record),
        train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )
