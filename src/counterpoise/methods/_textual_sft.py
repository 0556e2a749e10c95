"""Textual SFT, the text-only baseline of Ding et al. 2025 (arXiv 2501.18533, section 2.3): harmful and benign text
requests, each beside an all-black image; only the language model is trained."""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image
from pydantic import BaseModel, ConfigDict, Field

from counterpoise.chat import Image, Message, Sample
from counterpoise.data import shuffled, source_of
from counterpoise.train import TrainConfig

from ._answers import MAX_NEW_TOKENS, own_answers
from ._knobs import Knob, Size
from ._mirage import Trained, planned
from ._outcome import AlignResult, write_run
from ._registry import method
from ._sources import Files, Overlaps, Rows, Source, draw_all, in_turn, rows_from, store_rows

if TYPE_CHECKING:
    from counterpoise.models import Loaded

ROW_TOKENS = 150  # one image of 49 tokens, a short request, a short answer
SIDE = 224


class TextualSFTConfig(BaseModel):
    """What to train on, and how. Defaults: InternVL2.5-8B in Ding et al. 2025, with LoRA in place of full training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    harmful_files: Files = ()
    """LLaVA/ShareGPT files of harmful text requests with safe answers. None: built-in."""
    benign_files: Files = ()
    """LLaVA/ShareGPT files of benign text requests with their answers. None: built-in, answered by the model itself."""
    skip_bad_rows: int = Field(default=0, ge=0)
    """Bad rows of each source's files that are left out, counted and listed; one more stops the run."""
    n_harmful: int = Field(default=2000, ge=1)
    """Harmful requests."""
    total: int | None = Field(default=None, ge=1)
    """Rows altogether. Default: n_harmful and the benign rows that go with them; when set, n_harmful does not count."""
    benign_share: float = Field(default=1 / 3, ge=0, lt=1)
    """Benign requests as a share of all rows: 1,000 of 3,000 in the paper."""
    black_image: bool = True
    """Show an all-black image with every request, as the paper does; off: text alone."""
    trained: Trained = "lora"
    """lora: factors on the language model. full: all of it, as in the paper. The projector is not trained."""
    full_learning_rate: float = Field(default=2e-5, gt=0)
    """Highest learning rate of what is trained in full by `trained: full` (the paper's for InternVL2.5-8B)."""
    seed: int = 0
    """Draws, order of rows, LoRA initialisation."""
    train: TrainConfig = TrainConfig(epochs=2)
    """Training settings; its seed is replaced by the one above. `groups`, when set, replace `trained`."""

    @property
    def counts(self) -> tuple[int, int]:
        """(harmful rows, benign rows)."""
        if self.total is None:
            return self.n_harmful, round(self.n_harmful * self.benign_share / (1 - self.benign_share))
        benign = round(self.total * self.benign_share)
        return self.total - benign, benign


@dataclass
class TextualRecord:
    """What was drawn and what was dropped, for `run.json`."""

    n_harmful: int = 0
    n_benign: int = 0
    benign_share: float = 0.0
    harmful_ids: list[tuple[str, str]] = field(default_factory=list)
    benign_ids: list[tuple[str, str]] = field(default_factory=list)
    images_dropped: int = 0
    """Rows that have an image of their own, which is no text request."""
    overlaps_dropped: int = 0
    """Rows that overlap an evaluation row."""


@lru_cache(maxsize=1)
def black() -> Image:
    """An all-black image."""
    return Image.from_pil(PIL.Image.new("RGB", (SIDE, SIDE), "black"), "black")


def beside_black(row: Sample) -> Sample:
    """The row with an all-black image before its first question."""
    place = next(i for i, message in enumerate(row.messages) if message.role == "user")
    asked = row.messages[place]
    shown = Message("user", (black(), *asked.parts))
    messages = (*row.messages[:place], shown, *row.messages[place + 1 :])
    return dataclasses.replace(row, messages=messages, modality="image")


def build_rows(
    config: TextualSFTConfig, harmful: Iterable[Sample], benign: Iterable[Sample], *, overlaps: Overlaps | None = None
) -> tuple[list[Sample], TextualRecord]:
    """The training rows in their order, and the record. Raises InputError when a source has too few usable rows."""
    record = TextualRecord()

    def usable(rows: Iterable[Sample]) -> Iterator[Sample]:
        for row in rows:
            if any(message.images for message in row.messages):
                record.images_dropped += 1
            elif overlaps is not None and overlaps(row):
                record.overlaps_dropped += 1
            else:
                yield row

    n_harmful, n_benign = config.counts
    bad = draw_all(usable(harmful), n_harmful, config.seed, "harmful text", "n_harmful")
    good = draw_all(usable(benign), n_benign, config.seed, "benign text", "benign_share") if n_benign else []
    record.n_harmful, record.n_benign = len(bad), len(good)
    record.benign_share = len(good) / (len(bad) + len(good))
    record.harmful_ids = [(source_of(row), row.id) for row in bad]
    record.benign_ids = [(source_of(row), row.id) for row in good]
    rows = shuffled([*bad, *good], seed=config.seed)
    return [beside_black(row) for row in rows] if config.black_image else rows, record


def _built_in(name: str, loaded: "Loaded", journal: Path, n: int, seed: int) -> Rows:
    from counterpoise.data import draw, pocket_sets

    found: Iterable[Sample] = getattr(pocket_sets, name)(seed)
    if name == "benign_requests":  # the model answers no more of them than are drawn, and some to make up for drops
        found = own_answers(loaded, draw(found, n + n // 10 + 20, seed=seed, purpose="benign text"), journal)
    return Rows(found, {"from": f"counterpoise.data.pocket_sets.{name}", "seed": seed})


def size(config: TextualSFTConfig) -> Size:
    """Rows of the mix; built-in benign requests get the model's own answers."""
    written = 0 if config.benign_files else config.counts[1] * MAX_NEW_TOKENS
    return Size(sum(config.counts), ROW_TOKENS if config.black_image else ROW_TOKENS - 49, config.train.epochs, written)


@method(
    "textual-sft",
    title="Textual SFT",
    paper="baseline of Ding et al., Rethinking Bottlenecks in Safety Fine-Tuning of Vision Language Models, "
    "arXiv 2501.18533",
    source="https://github.com/DripNowhy/MIS",
    licence="no licence file (nothing was copied)",
    config=TextualSFTConfig,
    knobs=(
        Knob("amount", "rows of the mix", "rows", setting="total", current=lambda c: sum(c.counts)),
        Knob("benign", "benign rows", "share", direction="falling", setting="benign_share"),
    ),
    size=size,
)
def align(
    loaded: "Loaded",
    config: TextualSFTConfig,
    out: Path,
    *,
    harmful: Source | None = None,
    benign: Source | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Train on text requests alone, each beside an all-black image: what safety data in text does for images.

    The paper's finding, to be checked on each model: about a point of general ability is lost and little visual safety
    is won. Rows come from `harmful` and `benign`, else from files, else from built-in lists (harmful ones with their
    refusals, benign ones answered by the model itself). Writes `out/data/mix.jsonl`, `out/adapter/` (or weights),
    `out/run.json`. Raises InputError for anything the user can mend.
    """
    from counterpoise.train import SFT, fit

    started = time.monotonic()
    journal = out / "data" / "answers.jsonl"
    if not resume:
        journal.unlink(missing_ok=True)
    n_harmful, n_benign = config.counts
    rows_of = partial(rows_from, skip_bad=config.skip_bad_rows)
    made = partial(_built_in, loaded=loaded, journal=journal)
    with in_turn(out):
        bad = rows_of(harmful, config.harmful_files, None, config.seed, "harmful text",
                      lambda seed: made("harmful_requests", n=n_harmful, seed=seed))  # fmt: skip
        good = rows_of(benign, config.benign_files, None, config.seed, "benign text",
                       lambda seed: made("benign_requests", n=n_benign, seed=seed))  # fmt: skip
        rows, record = build_rows(config, bad.rows, good.rows, overlaps=overlaps)
        mix, file = store_rows(out, "mix", rows)
    built = time.monotonic()
    train = planned(config.train, config.trained, config.full_learning_rate, config.full_learning_rate, config.seed,
                    projector=False)  # fmt: skip
    result = fit(loaded, mix, SFT(), train, out, resume=resume)
    return write_run(
        out,
        method="textual-sft",
        loaded=loaded,
        config=config.model_copy(update={"train": train}),
        artifact=result.artifact,
        data={"harmful": bad.origin, "benign": good.origin, "mix": file} | dataclasses.asdict(record),
        train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )
