"""Safety instruction tuning (SIT): safety demonstrations mixed into instruction data, as in "Safe to Serve" (arXiv
2412.00074) and its open precedent, safety-tuned-llamas (Bianchi et al. 2023).

The steps of the spec, in this file: draw_mix (1, 2), `align` trains on the replies alone (3). Measuring safety,
over-refusal and helpfulness for every count of safety rows (4) is the dose search of `counterpoise run --target`.
"""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.data import PromptStyle, check_leakage, read_instructions, shuffled, source_of
from counterpoise.train import TrainConfig

from ._answers import MAX_NEW_TOKENS, own_answers
from ._knobs import Knob, Size
from ._outcome import AlignResult, write_run
from ._registry import method
from ._sources import Files, Overlaps, Rows, Source, draw_all, in_turn, made_rows, rows_from, store_rows

if TYPE_CHECKING:
    from counterpoise.models import Loaded
    from counterpoise.train import Objective

COUNTS = (0, 100, 300, 500, 1000, 1500, 2000)  # safety rows of the precedent's sweep
ROW_TOKENS = 220
SERVE_TRAIN = TrainConfig(
    lora_rank=16, lora_alpha=32, lora_dropout=0.05, learning_rate=1e-4, epochs=3, batch_size=32, max_length=1024
)
"""Our defaults: the paper's values are unknown (spec, section 2.3)."""


class InstructionSettings(BaseModel):
    """Which instruction and safety rows are mixed, and how to train on them, shared by the methods that do."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    instruction_files: Files = ()
    """Instruction files (lists of instruction, input, output) or LLaVA/ShareGPT files that teach helpfulness. None:
    built-in benign requests, answered by the model itself."""
    instruction_images: Path | None = None
    """Folder the image paths of these files start from; default: each file's own folder."""
    safety_files: Files = ()
    """The same for harmful requests with safe answers, such as safety_only_data_Instructions.json. None: built-in."""
    safety_images: Path | None = None
    """Folder the image paths of these files start from; default: each file's own folder."""
    held_out_files: Files = ()
    """Instruction files of evaluation prompts (such as I-MaliciousInstructions.json). A training row that equals or
    nearly equals one of them stops the run."""
    skip_bad_rows: int = Field(default=0, ge=0)
    """Bad rows of each source's files that are left out, counted and listed; one more stops the run."""
    prompt: PromptStyle = "chat"
    """How rows of instruction files are put: as the user's text, or inside Alpaca's frame. Results differ."""
    n_instructions: int | None = Field(default=None, ge=0)
    """Instruction rows. Default: 20,000 of files, as in the precedent, or 400 of the built-in requests."""
    n_safety: int | None = Field(default=None, ge=0)
    """Safety rows N. Default: 500 of files, or 100 of the built-in ones. In the precedent a few hundred beside 20,000
    suffice, and too many make the model refuse too much."""
    seed: int = 0
    """Draws, order of rows, LoRA initialisation."""
    train: TrainConfig = SERVE_TRAIN
    """Training settings; its seed is replaced by the one above. A row longer than max_length is left out, not cut."""

    @property
    def counts(self) -> tuple[int, int]:
        """(instruction rows, safety rows) with the defaults resolved."""
        kept, safe = (20_000 if self.instruction_files else 400), (500 if self.safety_files else 100)
        return (
            kept if self.n_instructions is None else self.n_instructions,
            safe if self.n_safety is None else self.n_safety,
        )


class SITConfig(InstructionSettings):
    """What to mix and how to train on it."""


@dataclass
class InstructionRecord:
    """What was drawn and what was dropped, for `run.json`."""

    n_instructions: int = 0
    n_safety: int = 0
    safety_share: float = 0.0
    overlaps_dropped: int = 0
    """Rows of either source that overlap a row of the evaluation suites."""
    distinct_safe_answers: int = 0
    """Different answers among the safety rows: one sentence repeated is learned as one sentence for everything."""
    safety_ids: list[tuple[str, str]] = field(default_factory=list)
    """(source, id) of every safety row, in order of drawing."""


def draw_mix(
    config: InstructionSettings,
    instructions: Iterable[Sample],
    safety: Iterable[Sample],
    *,
    overlaps: Overlaps | None = None,
) -> tuple[list[Sample], InstructionRecord]:
    """Steps 1 and 2: exactly `n_safety` safety rows among `n_instructions` others, in an order by the seed.

    Draws follow from hashes of rows: of the same source, a larger N holds the rows of a smaller one. Raises InputError
    when a source has too few rows, or a row is too close to a prompt of `held_out_files`.
    """
    record = InstructionRecord()

    def usable(rows: Iterable[Sample]) -> Iterator[Sample]:
        for row in rows:
            if overlaps is not None and overlaps(row):
                record.overlaps_dropped += 1
            else:
                yield row

    def drawn(rows: Iterable[Sample], n: int, purpose: str, setting: str) -> list[Sample]:
        return draw_all(usable(rows), n, config.seed, purpose, setting) if n else []

    n_kept, n_safe = config.counts
    kept = drawn(instructions, n_kept, "instruction", "n_instructions")
    safe = drawn(safety, n_safe, "safety", "n_safety")
    if not kept and not safe:
        raise InputError("no rows: n_instructions and n_safety are both 0")
    check_held_out(config, [*kept, *safe])
    record.n_instructions, record.n_safety = len(kept), len(safe)
    record.safety_share = len(safe) / (len(kept) + len(safe))
    record.distinct_safe_answers = len({row.messages[-1].text for row in safe})
    record.safety_ids = [(source_of(row), row.id) for row in safe]
    return shuffled([*kept, *safe], seed=config.seed), record


def check_held_out(config: InstructionSettings, rows: Iterable[Sample]) -> None:
    """Raises InputError when a training row equals, or nearly equals, an evaluation prompt of `held_out_files`."""
    prompts = [row for file in config.held_out_files for row in read_instructions(file, config.prompt)]
    leaks = check_leakage(rows, prompts, kinds=("exact", "near")) if prompts else []
    if leaks:
        more = f" ({len(leaks)} such pairs)" if len(leaks) > 1 else ""
        raise InputError(
            f"training row {leaks[0].train} is too close to evaluation prompt {leaks[0].evaluation} ({leaks[0].kind}, "
            f"{leaks[0].score:.2f}){more}; take it out of the training files, or leave that file out of held_out_files"
        )


def sources(
    loaded: "Loaded", config: InstructionSettings, journal: Path, instructions: Source | None, safety: Source | None
) -> tuple[Rows, Rows]:
    """Instruction and safety rows of the caller, else of the user's files, else of the built-in sets: for a text-only
    model benign requests as text, for others mostly visual instructions; harmful requests with specific refusals."""
    name = "ordinary_instructions" if loaded.is_vlm else "benign_requests"
    n_kept, n_safe = config.counts
    answers = partial(own_answers, loaded, journal=journal)
    common: dict[str, Any] = {"skip_bad": config.skip_bad_rows, "style": config.prompt}
    kept = rows_from(
        instructions, config.instruction_files, config.instruction_images, config.seed, "instruction",
        partial(made_rows, name, n_kept, fill=answers), **common,
    )  # fmt: skip
    safe = rows_from(
        safety, config.safety_files, config.safety_images, config.seed, "safety",
        partial(made_rows, "harmful_requests", n_safe), **common,
    )  # fmt: skip
    return kept, safe


def tuned_on_mix(
    name: str,
    objective: "Objective[Sample]",
    loaded: "Loaded",
    config: InstructionSettings,
    out: Path,
    given: tuple[Source | None, Source | None],
    *,
    resume: bool,
    overlaps: Overlaps | None,
) -> AlignResult:
    """The mix of a config, of the caller's instruction and safety rows where they are `given`, and a training on it by
    an objective: what the methods that differ only there have in common. Rows that are too long are left out."""
    from counterpoise.train import Uncut, fit

    started = time.monotonic()
    with in_turn(out):
        kept, safe = sources(loaded, config, out / "data" / "answers.jsonl", *given)
        rows, record = draw_mix(config, kept.rows, safe.rows, overlaps=overlaps)
        mix, file = store_rows(out, "mix", rows)
    del rows  # training reads them from the file
    built = time.monotonic()
    train = config.train.model_copy(update={"seed": config.seed})
    result = fit(loaded, mix, Uncut(objective), train, out, resume=resume)
    return write_run(
        out,
        method=name,
        loaded=loaded,
        config=config.model_copy(update={"train": train}),
        artifact=result.artifact,
        data={"instructions": kept.origin, "safety": safe.origin, "mix": file} | dataclasses.asdict(record),
        train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )


def instruction_size(config: Any) -> Size:
    """Rows of the mix; built-in instruction rows get the model's own answers."""
    written = 0 if config.instruction_files else config.counts[0] * MAX_NEW_TOKENS
    return Size(sum(config.counts), ROW_TOKENS, config.train.epochs, written)


N_SAFETY = Knob("n_safety", "safety rows", "rows", grid=COUNTS[1:], current=lambda config: config.counts[1])
AMOUNT = Knob(
    "amount", "rows of the mix", "rows", current=lambda config: sum(config.counts),
    setting=lambda rows: {"n_safety": round(rows / 5), "n_instructions": int(rows) - round(rows / 5)},
)  # fmt: skip
"""One row in five is a safety row, as among the built-in ones."""


@method(
    "sit",
    title="Safety instruction tuning",
    paper="Amballa et al., Safe to Serve: Aligning Instruction-Tuned Models for Safety and Helpfulness, 2024, arXiv "
    "2412.00074; data scheme of Bianchi et al., Safety-Tuned LLaMAs, ICLR 2024, arXiv 2309.07875",
    source="https://github.com/vinid/safety-tuned-llamas (of the precedent; the paper has none)",
    licence="no licence file seen (nothing was copied)",
    config=SITConfig,
    knobs=(N_SAFETY, AMOUNT),
    size=instruction_size,
)
def align(
    loaded: "Loaded",
    config: SITConfig,
    out: Path,
    *,
    instructions: Source | None = None,
    safety: Source | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Mix a few hundred safety demonstrations into instruction data and fine-tune on the answers.

    Prompts carry no loss: a model that learned them would learn to write harmful requests. More safety rows than needed
    make it refuse harmless requests too, so measure over-refusal for every count.

    Rows come from `instructions` and `safety` when given, else from the files that the config names, else from built-in
    sets. Writes `out/data/mix.jsonl`, `out/adapter/`, `out/run.json`; running again resumes or returns what is there.
    Raises InputError for anything the user can mend.
    """
    from counterpoise.train import SFT

    given = (instructions, safety)
    return tuned_on_mix("sit", SFT(), loaded, config, out, given, resume=resume, overlaps=overlaps)
