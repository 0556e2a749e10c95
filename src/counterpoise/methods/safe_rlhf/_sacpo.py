"""SACPO (Wachi et al. 2024, arXiv 2404.11049): two steps of DPO in place of reinforcement learning.

The optimum of max E[r] + lambda E[g] - beta KL is pi* ~ pi_ref exp(r / beta) exp(lambda g / beta), so two steps of DPO
reach it: (1) on pairs ordered by helpfulness, tied to the model with beta; (2) on pairs ordered by safety, tied to the
result of (1), with beta / lambda. P-SACPO merges the parameters of both, (1 - q) theta_r + q theta_s, which needs no
further training.
"""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import Artifact, InputError, read_json, write_json
from counterpoise.train import TrainConfig

from .._knobs import Knob, Size
from .._outcome import AlignResult, write_run
from .._registry import method
from .._sources import Files, Overlaps, in_turn
from ._align import OWN_PAIRS, ROW_TOKENS
from ._config import SafeRLHFConfig

if TYPE_CHECKING:
    from torch import Tensor

    from counterpoise.models import Loaded


class SACPOConfig(BaseModel):
    """Helpfulness, then safety. Defaults: the paper's, with LoRA in place of all weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    beta: float = Field(default=0.1, gt=0)
    """Tie of step 1 to the model."""
    safety_coefficient: float = Field(default=0.025, gt=0)
    """beta / lambda, the tie of step 2 to the result of step 1. The paper tries 0.1, 0.05, 0.025 and 0.01."""
    merge: float = Field(default=1.0, ge=0, le=1)
    """Share q of the way from step 1 to step 2 (P-SACPO: 0.25, 0.5, 0.75 with a coefficient of 0.01). 1: all of it."""
    steps: Literal["both", "helpfulness", "safety"] = "both"
    """`helpfulness` is DPO on helpfulness, `safety` DPO on safety: the single-dimension rivals."""
    pairs: Files = ()
    """As in `safe-rlhf-v`."""
    images: Path | None = None
    """As in `safe-rlhf-v`."""
    skip_bad_rows: int = Field(default=0, ge=0)
    """As in `safe-rlhf-v`."""
    n_pairs: int | None = Field(default=None, ge=1)
    """Pairs that both steps draw from. Default: all."""
    layers_from: int = Field(default=0, ge=0)
    """Factors only on the language model's blocks from this one on, counted from 0."""
    seed: int = 0
    """Draws, order, initialisation."""
    train: TrainConfig = TrainConfig(learning_rate=2e-5, epochs=3, batch_size=32)
    """Training of each step."""


def size(config: SACPOConfig) -> Size:
    """Pairs of the steps that are taken."""
    n = (config.n_pairs or OWN_PAIRS) * (2 if config.steps == "both" else 1)
    return Size(n, ROW_TOKENS, config.train.epochs)


@method(
    "sacpo",
    title="SACPO",
    paper="Wachi et al., Stepwise Alignment for Constrained Language Model Policy Optimization, NeurIPS 2024, "
    "arXiv 2404.11049",
    source="https://github.com/line/sacpo",
    licence="Apache-2.0 (nothing was copied)",
    config=SACPOConfig,
    knobs=(
        Knob("merge", "share of the safety step", "share", grid=(0.25, 0.5, 0.75, 1.0)),
        Knob("pairs", "preference pairs", "rows", setting="n_pairs", current=lambda c: c.n_pairs or OWN_PAIRS),
    ),
    size=size,
)
def align(
    loaded: "Loaded", config: SACPOConfig, out: Path, *, resume: bool = True, overlaps: Overlaps | None = None
) -> AlignResult:
    """Two steps of DPO on the pairs of Safe RLHF-V: helpfulness, then safety tied to the first step's result.

    The cheap rival of PPO-Lagrangian: no sampling, no reward or cost model, no multiplier that moves. Writes
    `out/helpfulness/`, `out/safety/` and, with `merge` below 1, `out/merged/`. Running again resumes or returns what is
    there. Raises InputError for anything the user can mend.
    """
    from counterpoise.models import load
    from counterpoise.train import DPO, Lora, fit

    from ._data import gather

    started = time.monotonic()
    if loaded.adapter is not None and config.steps == "both":
        raise InputError(
            f"{loaded.name}: is an adapter on a base, and the second step would start from the base; save the merged "
            "weights and train on those"
        )
    given = config.model_dump(include={"pairs", "images", "skip_bad_rows", "n_pairs", "seed"}) | {"sampled": 0}
    with in_turn(out):
        pairs = gather(SafeRLHFConfig(**given), loaded, out, overlaps)
    built = time.monotonic()
    train = config.train.model_copy(update={"seed": config.seed})
    if config.layers_from and not train.groups:
        upper = {"layers_from": config.layers_from}
        groups = (each.model_copy(update=upper) if isinstance(each, Lora) else each for each in train.plan())
        train = train.model_copy(update={"groups": tuple(groups)})
    record: dict[str, Any] = {}
    artifact: Artifact | None = None
    for step in ("helpfulness", "safety") if config.steps == "both" else (config.steps,):
        by: Literal["helpfulness", "safety"] = "helpfulness" if step == "helpfulness" else "safety"
        chosen = (row.by_helpfulness() if by == "helpfulness" else row.by_safety() for row in pairs.ordered(by))
        rows = [pair for pair in chosen if pair is not None]
        if not rows:
            raise InputError(f"sacpo: no pair is ordered by {by}; give other pairs")
        base = loaded
        if artifact is not None:  # the reference of the second step is the result of the first
            base = load(loaded.name, adapter=artifact.path, dtype=loaded.dtype, device=loaded.device, merge=True)
        beta = config.beta if by == "helpfulness" or config.steps == "safety" else config.safety_coefficient
        result = fit(base, rows, DPO(beta), train, out / step, resume=resume)
        record[step] = dataclasses.asdict(result) | {"rows_with_order": len(rows)}
        first, artifact = artifact, result.artifact
        if first is not None and config.merge < 1:
            with in_turn(out):
                artifact = merged(first.path, artifact.path, config.merge, out / "merged")
    assert artifact is not None
    return write_run(
        out, method="sacpo", loaded=loaded, config=config, artifact=artifact, data=pairs.record, train=record,
        timings={"build": built - started, "train": time.monotonic() - built},
    )  # fmt: skip


def merged(first: Path, both: Path, q: float, out: Path) -> Artifact:
    """P-SACPO: the adapter of both steps with the second one at a share q.

    `both` is [B_1, B_2] [A_1; A_2], the adapter of the first step joined with that of the second (see
    `counterpoise.train`), so (1 - q) theta_r + q theta_s is [B_1, q B_2] [A_1; A_2]. Raises InputError when the ranks
    say that `both` was not trained on `first`.
    """
    import shutil

    from safetensors.torch import load_file, save_file

    from counterpoise.models import read_artifact

    own, found = (load_file(folder / "adapter_model.safetensors") for folder in (first, both))
    scaled: dict[str, Tensor] = {}
    for name, value in found.items():
        rank = own[name].shape[1] if name in own and ".lora_B." in name else 0
        if ".lora_B." in name and rank > value.shape[1]:
            raise InputError(f"{both}: {name} has rank {value.shape[1]}, less than that of {first}: not trained on it")
        scaled[name] = value.clone()
        if ".lora_B." in name:
            scaled[name][:, rank:] *= q
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(both, part)
    save_file(scaled, part / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(part / "adapter_config.json", read_json(both / "adapter_config.json"))
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return read_artifact(out)
