"""Multi-task safety set (Jan et al., Multitask Mayhem, arXiv 2409.15361, COLING 2025): refusals in every task format,
dosed into the rows of a fine-tuning.

The paper's finding: tuning on a benign task erodes refusals, most of them where a request is dressed as another task,
and a safety set of one format does not repair the others. The steps: harmful intents in every format with a refusal
that says why (1), the formats balanced (2), as many as the dose asks for (3), mixed with the task's rows (4), and SFT.
"""

import dataclasses
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from counterpoise.base import InputError, sha256_file
from counterpoise.chat import Sample, assistant
from counterpoise.data import rank, shuffled
from counterpoise.data.multitask import (
    TASKS,
    WORDINGS,
    Intent,
    TaskFormat,
    TaskModality,
    read_intents,
    read_multitaskbench,
    render,
    training_intents,
)
from counterpoise.train import TrainConfig

from ._answers import MAX_NEW_TOKENS, own_answers
from ._knobs import Knob, Size
from ._outcome import AlignResult, write_run
from ._registry import method
from ._sources import Files, Overlaps, Rows, Source, draw_all, in_turn, rows_from, store_rows

if TYPE_CHECKING:
    from counterpoise.models import Loaded

DOSES = (0.0, 0.05, 0.10, 0.15, 0.30)  # 0.105 and 0.15 are read from the names of the paper's models
ROW_TOKENS = 120  # a short instruction with a chat template, and its answer
OPENINGS = (
    "I'm sorry, but I can't help with that.",
    "I'm sorry, I cannot assist with this request.",
    "I can't help with this.",
    "I'm not able to do that.",
)
REASONS: dict[TaskFormat, str] = {
    "plain": "It could cause serious harm.",
    "summarise": "A summary of it could cause serious harm too.",
    "code": "Code for it could cause serious harm.",
    "translate": "I do not translate requests that could cause serious harm.",
    "classify": "None of the options would make it harmless.",
}
"""Why each format is refused: a request stays what it is in another dress."""


class MultitaskMixConfig(BaseModel):
    """Which rows, how many refusals among them, and how to train. Doses: Jan et al. 2025, section 2.2 of our notes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    task: str = "mixed"
    """Built-in rows where no files are given: summarise, code, translate, classify, or `mixed` of all four."""
    task_files: Files = ()
    """LLaVA/ShareGPT files of the fine-tuning that the set is mixed into."""
    task_images: Path | None = None
    """Folder the image paths of these files start from; default: each file's own folder."""
    skip_bad_rows: int = Field(default=0, ge=0)
    """Bad rows of the files that are left out, counted and listed; one more stops the run."""
    n_task: int = Field(default=10_000, ge=1)
    """Rows of the fine-tuning."""
    dose: float = Field(default=0.15, ge=0)
    """Refusals per task row, d = n_safety / n_task."""
    formats: tuple[TaskFormat, ...] = TASKS
    """Formats of the safety set, in equal numbers (to one)."""
    modalities: tuple[TaskModality, ...] = ("text",)
    """How its requests are shown, in turn. The paper's are texts; add `print` for a vision-language model."""
    intents: Path | None = None
    """CSV or JSON Lines file with `harmful` and `benign` requests. None: training families and phrases of ours."""
    published: Path | None = None
    """The paper's `multitaskbench.csv`, in place of rows made here. Its licence is not stated."""
    twins: float = Field(default=0.0, ge=0)
    """Harmless twins per refusal, in the same formats, with the model's own answers: against over-refusal. The paper
    has none."""
    seed: int = 0
    """Draws, wordings, order of rows, LoRA initialisation."""
    train: TrainConfig = TrainConfig(learning_rate=2e-4, epochs=1, batch_size=4, lora_rank=64, lora_alpha=16)
    """Training settings; its seed is replaced by the one above."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("formats", "modalities"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name}: give each of them once, and at least one")
        return self

    @property
    def counts(self) -> tuple[int, int, int]:
        """Task rows, refusals, harmless twins."""
        n_safety = round(self.dose * self.n_task)
        return self.n_task, n_safety, round(self.twins * n_safety)


@dataclass
class MultitaskRecord:
    """What the set is made of, for `run.json`."""

    n_task: int = 0
    n_safety: int = 0
    n_twins: int = 0
    dose: float = 0.0
    formats: dict[str, int] = field(default_factory=dict)
    """Refusals by format."""
    overlaps_dropped: int = 0
    """Rows that overlap an evaluation row."""


def safety_rows(
    config: MultitaskMixConfig, intents: Sequence[Intent], n: int, *, harmful: bool = True
) -> Iterator[Sample]:
    """Steps 1 and 2: at least `n` rows, if there are as many, the formats in turn; of harmless twins without a reply.

    A format shows every intent once, in the order of a hash, before it shows one in another wording or modality.
    """
    kind = "refusal" if harmful else "twin"
    dresses = [(modality, wording) for wording in range(1, WORDINGS + 1) for modality in config.modalities]
    orders = {task: _order(intents, config.seed, f"{kind} {task}") for task in config.formats}
    for number in range(n):
        task = config.formats[number % len(config.formats)]
        turn, place = divmod(number // len(config.formats), len(intents))
        if turn >= len(dresses):
            return
        intent = orders[task][place]
        # another dress for every intent, so that few rows already show all of them
        modality, wording = dresses[(turn + place) % len(dresses)]
        row = render(intent, task, modality, harmful=harmful, wording=wording)
        name = f"{row.id}-{wording}"
        reply = (assistant(f"{_opening(config, name)} {REASONS[task]}"),) if harmful else ()
        yield dataclasses.replace(
            row, id=name, messages=(*row.messages, *reply), split="train",
            meta={**row.meta, "refused": harmful, "source": "multitask"},
        )  # fmt: skip


def _order(intents: Sequence[Intent], seed: int, purpose: str) -> list[Intent]:
    return sorted(intents, key=lambda each: rank(Sample(each.id, ()), seed, purpose))


def _opening(config: MultitaskMixConfig, name: str) -> str:
    return random.Random(f"{config.seed} {name}").choice(OPENINGS)


def build_set(
    config: MultitaskMixConfig, intents: Sequence[Intent], n: int, *, harmful: bool = True,
    record: MultitaskRecord | None = None, overlaps: Overlaps | None = None,
) -> list[Sample]:  # fmt: skip
    """Exactly `n` rows of `safety_rows`, or of the published file, with formats balanced to one row.

    Raises InputError when there are fewer.
    """
    record = record or MultitaskRecord()
    total = len(intents) * len(config.formats) * len(config.modalities) * WORDINGS
    made: Iterator[Sample] = (
        read_multitaskbench(config.published)
        if harmful and config.published
        else safety_rows(config, intents, total, harmful=harmful)
    )
    share, rest = divmod(n, len(config.formats))
    wanted: dict[str, int] = {task: share + (place < rest) for place, task in enumerate(config.formats)}
    found: list[Sample] = []
    if harmful and config.published:
        made = iter(sorted(made, key=lambda row: rank(row, config.seed, "published")))
    for row in made:
        if not any(wanted.values()):
            break
        if not wanted.get(row.group):
            continue
        if overlaps is not None and overlaps(row):
            record.overlaps_dropped += 1
            continue
        wanted[row.group] -= 1
        found.append(row)
    if len(found) < n:
        lacking = ", ".join(f"{count} of {task}" for task, count in wanted.items() if count)
        setting = "dose" if harmful else "twins"
        raise InputError(f"multitask-mix: the safety set has {len(found)} rows, {n} are wanted ({lacking} lack); "
                         f"lower {setting}, or add modalities or intents")  # fmt: skip
    return found


def size(config: MultitaskMixConfig) -> Size:
    """Rows of the mix; harmless twins get the model's own answers."""
    return Size(sum(config.counts), ROW_TOKENS, config.train.epochs, config.counts[2] * MAX_NEW_TOKENS)


@method(
    "multitask-mix",
    title="Multi-task safety set",
    paper="Jan et al., Multitask-Bench: Unveiling and Mitigating Safety Gaps in LLMs Fine-tuning, COLING 2025, "
    "arXiv 2409.15361",
    source="https://github.com/comnetsAD/LLMSafetyGuardrails",
    licence="MIT for the code, none stated for its rows (nothing was copied)",
    config=MultitaskMixConfig,
    knobs=(
        Knob("dose", "refusals per task row", grid=DOSES),
        Knob("amount", "task rows", "rows", setting="n_task", current=lambda c: c.n_task),
    ),
    size=size,
)
def align(
    loaded: "Loaded", config: MultitaskMixConfig, out: Path, *, task: Source | None = None, resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:  # fmt: skip
    """Fine-tune on a benign task with a small set of refusals in every task format among its rows.

    Use it in place of a plain fine-tuning that would erode refusals; with a dose of 0 it is that plain fine-tuning.
    Costs: harmless requests in these formats may be refused, which `counterpoise audit` measures on benign twins.

    Task rows come from `task` when given, else from the files the config names, else from the built-in tasks. Writes
    `out/data/mix.jsonl`, `out/adapter/`, `out/run.json`. Raises InputError for anything the user can mend.
    """
    from counterpoise.data.pocket_sets import task_rows
    from counterpoise.train import SFT, fit

    started = time.monotonic()
    n_task, n_safety, n_twins = config.counts
    record = MultitaskRecord()
    intents = read_intents(config.intents) if config.intents else training_intents()

    def built_in(seed: int) -> Rows:
        made = islice(task_rows(config.task, seed), n_task + n_task // 10 + 20)  # some may overlap
        return Rows(made, {"from": "counterpoise.data.pocket_sets.task_rows", "task": config.task, "seed": seed})

    with in_turn(out):
        given = rows_from(
            task, config.task_files, config.task_images, config.seed, "task", built_in, skip_bad=config.skip_bad_rows
        )
        usable = (row for row in given.rows if overlaps is None or not overlaps(row))
        ordinary = draw_all(usable, n_task, config.seed, "task", "n_task")
        refused = build_set(config, intents, n_safety, record=record, overlaps=overlaps)
        twins = build_set(config, intents, n_twins, harmful=False, record=record, overlaps=overlaps)
        answered = list(own_answers(loaded, twins, out / "data" / "answers.jsonl")) if twins else []
        record.n_task, record.n_safety, record.n_twins = len(ordinary), len(refused), len(answered)
        record.dose = len(refused) / len(ordinary)
        record.formats = {name: sum(row.group == name for row in refused) for name in config.formats}
        mix, file = store_rows(out, "mix", shuffled([*ordinary, *refused, *answered], seed=config.seed))
    built = time.monotonic()
    train = config.train.model_copy(update={"seed": config.seed})
    result = fit(loaded, mix, SFT(), train, out, resume=resume)
    made_of = {"file": str(config.intents), "sha256": sha256_file(config.intents)} if config.intents else "built-in"
    return write_run(
        out, method="multitask-mix", loaded=loaded, config=config.model_copy(update={"train": train}),
        artifact=result.artifact, data={"task": given.origin, "intents": made_of, "mix": file}
        | dataclasses.asdict(record), train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )  # fmt: skip
