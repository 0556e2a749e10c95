"""Constrained SFT (Qi et al., ICLR 2025, arXiv 2406.05946): fine-tuning that holds the first answer tokens.

Safety alignment sits in the first few tokens of an answer. The loss lets later tokens move as in SFT and fades the push
on early ones as soon as they are likelier than under the aligned model. Numbered steps of the spec (`beyond.md`,
section 2) are in `counterpoise.train.ConstrainedSFT`: 1, 2 (`constrained_loss`), 3 (`betas`), 4 (the reference is the
model that came in, adapters off, no dropout; its log probabilities are taken in each step). Here: rows and settings.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from counterpoise.train import TrainConfig

from ._knobs import Knob
from ._outcome import AlignResult
from ._registry import method
from ._sit import AMOUNT, N_SAFETY, InstructionSettings, instruction_size, tuned_on_mix
from ._sources import Overlaps, Source

if TYPE_CHECKING:
    from counterpoise.models import Loaded


class ConstrainedSFTConfig(InstructionSettings):
    """What to train on and how tightly to hold which tokens. The betas are the paper's."""

    first: float = Field(default=0.5, gt=0)
    """beta of the first token of an answer."""
    early: float = Field(default=2.0, gt=0)
    """beta of its tokens 2 to `length`."""
    later: float = Field(default=0.1, gt=0)
    """beta of all tokens after these."""
    length: int = Field(default=5, ge=1)
    """How many tokens of an answer are held more tightly."""
    train: TrainConfig = TrainConfig(
        lora_rank=16, lora_alpha=32, learning_rate=1e-4, epochs=3, batch_size=64, max_length=1024
    )
    """Training settings; its seed is replaced by the one above. A row longer than max_length is left out, not cut."""


@method(
    "constrained-sft",
    title="Constrained SFT",
    paper="Qi et al., Safety Alignment Should Be Made More Than Just a Few Tokens Deep, ICLR 2025, arXiv 2406.05946",
    source="https://github.com/Unispac/shallow-vs-deep-alignment",
    licence="MIT (nothing was copied)",
    config=ConstrainedSFTConfig,
    knobs=(N_SAFETY, Knob("early", "beta of tokens 2 to 5", grid=(0.1, 0.5, 2.0, 8.0)), AMOUNT),
    size=instruction_size,
)
def align(
    loaded: "Loaded",
    config: ConstrainedSFTConfig,
    out: Path,
    *,
    instructions: Source | None = None,
    safety: Source | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Fine-tune on instruction rows while the first tokens of each answer stay near the model that came in.

    With rows of one's own and no safety rows (`n_safety=0`) it is a fine-tuning meant to keep more of the refusals than
    SFT does; with safety rows it is an arm beside `sit`. It holds what the model does: one that complies keeps
    complying. Costs one forward pass more a step, and learns openings of answers more slowly.

    Rows are those of `sit`. Writes `out/data/mix.jsonl`, `out/adapter/`, `out/run.json`; running again resumes or
    returns what is there. Raises InputError for anything the user can mend.
    """
    from counterpoise.train import ConstrainedSFT

    objective = ConstrainedSFT(config.first, config.early, config.later, config.length)
    given = (instructions, safety)
    return tuned_on_mix("constrained-sft", objective, loaded, config, out, given, resume=resume, overlaps=overlaps)
