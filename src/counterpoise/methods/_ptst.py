"""Pure tuning, safe testing (Lyu et al., NeurIPS 2024, arXiv 2402.18540): train without a safety prompt, serve with it.

A fine-tuned model keeps more of its refusals when the system text that it is served with was not there in training:
what the user's rows teach does not reach that context. Two steps: take the safety text out of the user's rows and train
as usual (1), let what is left behind name the text, so that every later command serves with it (2).
"""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from counterpoise.base import launched_rank
from counterpoise.chat import Sample
from counterpoise.train import TrainConfig

from ._knobs import Knob, Size
from ._outcome import AlignResult, write_run
from ._registry import method
from ._sources import Overlaps, Source, in_turn, store_rows
from ._user_sets import BUILT_IN_ROWS, UserSet, user_rows

if TYPE_CHECKING:
    from counterpoise.models import Loaded

SYSTEM = (
    "You are a helpful, respectful and honest assistant. Help as well as you can, and stay safe: do not give harmful, "
    "illegal, hateful or dangerous content. If a request would hurt somebody, decline it and say why."
)
"""The safety text, in our wording."""
ROW_TOKENS = 90


class PTSTConfig(UserSet):
    """The user's set, and the system text that the model is served with."""

    system: str = Field(default=SYSTEM, min_length=1)
    """The safety text: not in training, and before every conversation afterwards."""
    train: TrainConfig = TrainConfig()
    """Training settings; its seed is replaced by the one above."""


def without(row: Sample, text: str) -> Sample:
    """The row without the safety text in its system turn."""
    first = row.messages[0]
    if first.role != "system" or text not in first.text:
        return row
    left = first.text.replace(text, "").strip()
    kept = (dataclasses.replace(first, parts=(left,)),) if left else ()
    return dataclasses.replace(row, messages=(*kept, *row.messages[1:]))


@method(
    "ptst",
    title="Pure tuning, safe testing",
    paper="Lyu et al., Keeping LLMs Aligned After Fine-tuning: The Crucial Role of Prompt Templates, NeurIPS 2024, "
    "arXiv 2402.18540",
    source="https://github.com/vfleaking/PTST",
    licence="no licence file seen (nothing was copied)",
    config=PTSTConfig,
    knobs=(Knob("amount", "the user's rows", "rows", setting="n_user", current=lambda c: c.n_user or BUILT_IN_ROWS),),
    size=lambda config: Size(config.n_user or BUILT_IN_ROWS, ROW_TOKENS, config.train.epochs),
)
def align(
    loaded: "Loaded",
    config: PTSTConfig,
    out: Path,
    *,
    user: Source | None = None,
    resume: bool = True,
    overlaps: Overlaps | None = None,
) -> AlignResult:
    """Fine-tune on a user's set without a safety system prompt, and serve the result with it.

    Nearly free: no safety row, no further training. It protects only where whoever serves the model fixes its system
    prompt; `counterpoise eval --bare` measures the model without it.

    The artifact names the text (`counterpoise.json`, key `system`), and loading it serves with it. Raises InputError
    for anything the user can mend. `overlaps` is not asked: rows are the user's task.
    """
    from counterpoise.models import read_artifact, save_system
    from counterpoise.train import SFT, fit

    started = time.monotonic()
    with in_turn(out):
        rows, origin = user_rows(config, user)
        pure = [without(row, config.system) for row in rows]
        changed = sum(row is not before for row, before in zip(pure, rows, strict=True))
        kept, file = store_rows(out, "rows", pure)
    built = time.monotonic()
    train = config.train.model_copy(update={"seed": config.seed})
    result = fit(loaded, kept, SFT(), train, out, resume=resume)
    if launched_rank() == 0:
        save_system(result.artifact.path, config.system)
    return write_run(
        out,
        method="ptst",
        loaded=loaded,
        config=config.model_copy(update={"train": train}),
        artifact=read_artifact(result.artifact.path),
        data={"user": origin, "rows": file, "n_user": len(pure), "safety_texts_taken_out": changed},
        train=dataclasses.asdict(result),
        timings={"build": built - started, "train": result.seconds},
    )
