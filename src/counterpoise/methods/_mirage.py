"""MIRage (Ding et al. 2025, arXiv 2501.18533): safety chain-of-thought over two images, with a little general data.

A harmful request whose harm arises only from two images together is answered by perceiving both, reasoning on the
risk, and a safe answer. Language model and projector are trained, the vision tower is not. Settings turn it into the
paper's other arms: `labels` (refusals of VLGuard's kind, or rewritten ones), `general_share` 0 (MIRage*), `files`.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import InputError, sha256_file
from counterpoise.chat import Sample, assistant
from counterpoise.data import MISRecord, rank, read_mis_train, shuffled, source_of
from counterpoise.data.pairs import Labels
from counterpoise.train import Layers, Lora, Projector, TrainConfig

from ._answers import MAX_NEW_TOKENS, own_answers
from ._knobs import Knob, Size
from ._outcome import AlignResult, write_run
from ._registry import method
from ._sources import Files, Overlaps, Rows, Source, draw_all, in_turn, made_rows, rows_from, store_rows

if TYPE_CHECKING:
    from counterpoise.models import Loaded

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I'm sorry, I cannot assist with this request.",
    "I'm sorry, but I will not help with this.",
)
"""Labels of VLGuard's kind: all of its training refusals open with these two words."""
ROW_TOKENS = 190  # two images of 49 tokens, a question of 20 and an answer of 49 tokens, a chat template
SHARES = (0.0, 1 / 9, 1 / 3, 0.75)  # of the paper's ablation: none, MIRage, its other arms, VLGuard-R with 6,000
Trained = Literal["lora", "full"]


class MirageConfig(BaseModel):
    """What to train on, how much of it, and how. Defaults: InternVL2.5-8B in Ding et al. 2025, table of section 2.3,
    with LoRA in place of full training."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    files: Files = ()
    """Files in the format of `mis_train.json`: two images, a question, an answer. None: our own image pairs."""
    images: Path | None = None
    """Folder the image paths of these files start from; default: each file's own folder."""
    general_files: Files = ()
    """LLaVA/ShareGPT files of ordinary instructions. None: built-in."""
    general_images: Path | None = None
    """Folder the image paths of these files start from; default: each file's own folder."""
    skip_bad_rows: int = Field(default=0, ge=0)
    """Bad rows of the general files that are left out, counted and listed; one more stops the run."""
    n_mis: int = Field(default=4000, ge=1)
    """Safety rows."""
    general_share: float = Field(default=1 / 9, ge=0, lt=1)
    """General rows as a share of all rows: 500 of 4,500 in the paper; 0 is its arm MIRage*."""
    total: int | None = Field(default=None, ge=1)
    """Rows altogether. Default: n_mis and the general rows that go with them; when set, n_mis does not count."""
    twin_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the safety rows that are safe twins with a helpful answer. Built-in rows only; the paper has none."""
    labels: Labels = "cot"
    """cot: the set's own answers (perceive, reason, answer). refusal: every answer becomes a plain "I'm sorry, ...",
    as in VLGuard. rewritten: reason and safe answer in place of a refusal (VLGuard-R): built-in, or by `rewriter`."""
    rewriter: str | None = None
    """The model of Inspect (`PROVIDER/MODEL`) that rewrites the answers of `files` for `labels: rewritten`."""
    trained: Trained = "lora"
    """lora: factors on the language model. full: all of it, as in the paper. Both: the whole projector."""
    full_learning_rate: float = Field(default=5e-6, gt=0)
    """Highest learning rate of what is trained in full by `trained: full` (the paper's for InternVL2.5-8B)."""
    projector_learning_rate: float = Field(default=2e-5, gt=0)
    """Highest learning rate of the projector beside LoRA factors."""
    seed: int = 0
    """Draws, order of rows, LoRA initialisation."""
    train: TrainConfig = TrainConfig(epochs=2)
    """Training settings; its seed is replaced by the one above. `groups`, when set, replace `trained`. The paper states
    no batch size."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """(harmful rows, safe twins, general rows)."""
        if self.total is None:
            safety, general = self.n_mis, round(self.n_mis * self.general_share / (1 - self.general_share))
        else:
            general = round(self.total * self.general_share)
            safety = self.total - general
        twins = round(safety * self.twin_share)
        return safety - twins, twins, general

    def training(self, *, projector: bool = True) -> TrainConfig:
        """The training settings with this run's parameter groups."""
        return planned(self.train, self.trained, self.full_learning_rate, self.projector_learning_rate, self.seed,
                       projector=projector)  # fmt: skip


def planned(
    train: TrainConfig, trained: Trained, full: float, beside: float, seed: int, *, projector: bool
) -> TrainConfig:
    """Training settings with the groups of a language model (LoRA or full) and, maybe, the projector. The vision tower
    is in none of them."""
    update: dict[str, object] = {"seed": seed}
    if not train.groups:
        lora = Lora(rank=train.lora_rank, alpha=train.lora_alpha, dropout=train.lora_dropout)
        language = Layers(modules=("language_model",), learning_rate=full) if trained == "full" else lora
        rate = full if trained == "full" else beside
        update["groups"] = (language, Projector(learning_rate=rate)) if projector else (language,)
    return train.model_copy(update=update)


@dataclass
class MirageRecord:
    """What was drawn and what was dropped, for `run.json`."""

    n_mis: int = 0
    n_twins: int = 0
    n_general: int = 0
    general_share: float = 0.0
    mis_ids: list[tuple[str, str]] = field(default_factory=list)
    """(source, id) of every safety row, in order of drawing."""
    general_ids: list[tuple[str, str]] = field(default_factory=list)
    empty_labels: list[str] = field(default_factory=list)
    """Rows of the files whose answer is empty, which are left out."""
    not_rewritten: int = 0
    """Rows that the rewriter answered off the format, which are left out."""
    overlaps_dropped: int = 0
    """Rows of any source that overlap an evaluation row."""


def build_rows(
    config: MirageConfig,
    harmful: Iterable[Sample],
    twins: Iterable[Sample],
    general: Iterable[Sample],
    *,
    overlaps: Overlaps | None = None,
) -> tuple[list[Sample], MirageRecord]:
    """The training rows in their order, and the record of how they came about. Which rows are drawn, and their order,
    follow from hashes. Raises InputError when a source has too few usable rows."""
    record = MirageRecord()

    def usable(rows: Iterable[Sample]) -> Iterator[Sample]:
        for row in rows:
            if overlaps is not None and overlaps(row):
                record.overlaps_dropped += 1
            else:
                yield row

    n_harmful, n_twins, n_general = config.counts
    drawn = draw_all(usable(harmful), n_harmful, config.seed, "MIS", "n_mis") if n_harmful else []
    safe = draw_all(usable(twins), n_twins, config.seed, "safe twin", "twin_share") if n_twins else []
    ordinary = draw_all(usable(general), n_general, config.seed, "general", "general_share") if n_general else []
    if config.labels == "refusal":
        drawn = [refuse(row, config.seed) for row in drawn]
    record.n_mis, record.n_twins, record.n_general = len(drawn), len(safe), len(ordinary)
    record.general_share = len(ordinary) / (len(drawn) + len(safe) + len(ordinary))
    record.mis_ids = [(source_of(row), row.id) for row in (*drawn, *safe)]
    record.general_ids = [(source_of(row), row.id) for row in ordinary]
    return shuffled([*drawn, *safe, *ordinary], seed=config.seed), record


def refuse(row: Sample, seed: int) -> Sample:
    """The row with a plain refusal as its answer."""
    number = int.from_bytes(rank(row, seed, "reply")[:8], "big")
    return dataclasses.replace(row, messages=(*row.messages[:-1], assistant(REFUSALS[number % len(REFUSALS)])))


def _harmful(config: MirageConfig, given: Source | None, out: Path, record: MISRecord) -> tuple[Rows, int]:
    """The safety rows of the caller, of the user's files, or our own pairs; and how many the rewriter left out."""
    n = config.counts[0]
    if given is not None:
        found = Rows(given(config.seed) if callable(given) else given, {"from": "caller"})
    elif config.files:
        found = _mis_files(config, record)
    else:
        from counterpoise.data.pairs import training_rows

        rows = islice(training_rows(config.seed, config.labels), n + n // 10 + 20)
        return Rows(rows, {"from": "counterpoise.data.pairs.training_rows", "seed": config.seed}), 0
    if config.labels != "rewritten":
        return found, 0
    if config.rewriter is None:
        raise InputError("mirage: labels: rewritten needs a rewriter (PROVIDER/MODEL) for the answers of your rows")
    from .mis import rewrite

    kept, dropped = rewrite(list(found.rows), config.rewriter, out / "data")
    return Rows(kept, found.origin | {"rewriter": config.rewriter}), dropped


def _mis_files(config: MirageConfig, record: MISRecord) -> Rows:
    names = [file.name for file in config.files]
    if len(set(names)) < len(names):
        raise InputError(f"MIS files: two have the name {max(names, key=names.count)!r}, which tells sources apart")
    ordered = sorted(config.files, key=lambda file: file.name)
    rows = (row for file in ordered for row in read_mis_train(file, config.images, record=record))
    return Rows(rows, {"from": "files", "sha256": {f.name: sha256_file(f) for f in ordered if f.is_file()}})


def _twins(config: MirageConfig) -> Rows:
    if config.counts[1] and config.files:
        raise InputError("mirage: twin_share: only our own image pairs have safe twins; leave it out, or `files`")
    from counterpoise.data.pairs import training_twins

    n = config.counts[1]
    rows = islice(training_twins(config.seed, config.labels), n + n // 10 + 20 if n else 0)
    return Rows(rows, {"from": "counterpoise.data.pairs.training_twins", "seed": config.seed} if n else {})


def size(config: MirageConfig) -> Size:
    """Rows of the mix; built-in general rows without a reply get the model's own."""
    written = 0 if config.general_files else config.counts[2] * MAX_NEW_TOKENS
    return Size(sum(config.counts), ROW_TOKENS, config.train.epochs, written)


@method(
    "mirage",
    title="MIRage",
    paper="Ding et al., Rethinking Bottlenecks in Safety Fine-Tuning of Vision Language Models, arXiv 2501.18533",
    source="https://github.com/DripNowhy/MIS",
    licence="no licence file (nothing was copied); its data: Apache-2.0",
    config=MirageConfig,
    knobs=(
        Knob("amount", "rows of the mix", "rows", setting="total", current=lambda c: sum(c.counts)),
        Knob("general", "general rows", "share", direction="falling", grid=SHARES, setting="general_share"),
        Knob("twins", "safe twins", "share", direction="falling", setting="twin_share"),
    ),
    size=size,
)
def align(
    loaded: "Loaded",
    config: MirageConfig,
    out: Path,
    *,
    source: Source | None = None,
    general: Source | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Train on image pairs that are harmful only together, answered by perceiving both, reasoning, and a safe answer.

    A ninth of the rows is general data. Language model (LoRA factors, or all of it) and projector are trained, the
    vision tower is frozen. Costs: caution in safe situations that look alike, which the safe twins of `mis-pocket` and
    MSSBench measure. Of the paper's other arms, `labels=refusal` refuses whatever shows images.

    Safety rows come from `source`, else from `files` (the format of `mis_train.json`), else from our own image pairs;
    general ones from `general`, `general_files`, or built-in sets. Writes `out/data/mix.jsonl`, `out/adapter/` (or
    weights), `out/run.json`. Running again resumes or returns what is there. Raises InputError for anything the user
    can mend.
    """
    from counterpoise.train import SFT, fit

    started = time.monotonic()
    journal = out / "data" / "answers.jsonl"
    if not resume:
        journal.unlink(missing_ok=True)
    read = MISRecord()
    with in_turn(out):
        harmful, dropped = _harmful(config, source, out, read)
        twins = _twins(config)
        own = partial(
            made_rows, "ordinary_instructions", config.counts[2], fill=partial(own_answers, loaded, journal=journal)
        )
        if config.counts[2]:
            ordinary = rows_from(general, config.general_files, config.general_images, config.seed, "general", own,
                                 skip_bad=config.skip_bad_rows)  # fmt: skip
        else:
            ordinary = Rows((), {})
        rows, record = build_rows(config, harmful.rows, twins.rows, ordinary.rows, overlaps=overlaps)
        record.empty_labels, record.not_rewritten = read.empty_labels, dropped
        mix, file = store_rows(out, "mix", rows)
    del rows  # training reads them from the file
    built = time.monotonic()
    train = config.training()
    result = fit(loaded, mix, SFT(), train, out, resume=resume)
    return write_run(
        out,
        method="mirage",
        loaded=loaded,
        config=config.model_copy(update={"train": train}),
        artifact=result.artifact,
        data={"mis": harmful.origin, "twins": twins.origin, "general": ordinary.origin, "mix": file}
        | dataclasses.asdict(record),
        train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )
