"""A third party's method, as an installed package would bring it: an objective, parameter groups and a knob of its own.

Pairs of a refusal and the answer that was there; the loss is a hinge on the difference of their log-probabilities. LoRA
factors and the projector are trained, the projector at a rate of its own. The dose is `slack`: how far apart the two
may stay without a loss, so that a larger one is a weaker dose.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from counterpoise.chat import Pair, Sample
from counterpoise.methods import AlignResult, Knob, Size, made_rows, method, store_rows, write_run
from counterpoise.train import Lora, LossOut, Objective, Projector, TrainConfig, fit, pair_sample, sequence_logprobs

REFUSAL = "I cannot help with that."
TRAIN = TrainConfig(
    epochs=1, batch_size=4, groups=(Lora(rank=2, alpha=4), Projector(learning_rate=1e-2)), learning_rate=1e-2
)


@dataclasses.dataclass(frozen=True)
class Hinge(Objective[Pair]):
    """max(0, 1 - slack - (log p(chosen) - log p(rejected))), a mean over the pairs of a step."""

    slack: float = 0.0
    unit: str = dataclasses.field(default="row", init=False)

    def samples(self, row: Pair) -> Sequence[Sample]:
        return (pair_sample(row, row.chosen), pair_sample(row, row.rejected))

    def loss(self, model, batch) -> LossOut:
        logprobs_B = sequence_logprobs(model, batch)
        gap_P = logprobs_B[0::2] - logprobs_B[1::2]
        return LossOut((1 - self.slack - gap_P).clamp(min=0).sum(), len(gap_P), {"gap": float(gap_P.detach().sum())})


class Config(BaseModel):
    """Settings of the toy; unknown ones are found although pydantic would let them pass here."""

    pairs: int = Field(default=8, ge=1)
    slack: float = Field(default=0.0, le=0.9)
    seed: int = 0
    train: TrainConfig = TRAIN


@method(
    "toy-hinge",
    title="Toy hinge",
    paper="none",
    source="here",
    licence="MIT",
    config=Config,
    knobs=(Knob("slack", "slack of the hinge", "number", "falling", grid=(0.0, 0.5, 0.9)),),
    size=lambda config: Size(config.pairs, 2 * 60, config.train.epochs),
)
def align(loaded, config: Config, out: Path, *, resume: bool = True, overlaps=None) -> AlignResult:
    """Push refusals above answers by a hinge."""
    started = time.monotonic()
    drawn = made_rows("rejection_source", config.pairs, config.seed)
    pairs = [
        Pair(row.id, row.messages[:1], REFUSAL, row.messages[1].text)
        for row in drawn.rows
        if overlaps is None or not overlaps(row)
    ][: config.pairs]
    _, file = store_rows(out, "refused", [pair_sample(pair, pair.chosen) for pair in pairs])
    built = time.monotonic()
    train = config.train.model_copy(update={"seed": config.seed})
    result = fit(loaded, pairs, Hinge(config.slack), train, out, resume=resume)
    return write_run(
        out,
        method="toy-hinge",
        loaded=loaded,
        config=config.model_copy(update={"train": train}),
        artifact=result.artifact,
        data={"rows": drawn.origin, "refused": file, "n_pairs": len(pairs)},
        train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )


class Plain(BaseModel):
    """Nothing to turn."""

    rows: int = 3


@method("toy-plain", title="Toy without a knob", paper="none", source="here", licence="MIT", config=Plain)
def plain(loaded, config: Plain, out: Path, *, resume: bool = True, overlaps=None) -> AlignResult:
    """Does nothing, and declares neither knob nor size."""
    raise AssertionError("never called by a test")
