"""Training of the small guard: LoRA on the verdict's tokens, then Platt scaling on rows of other groups."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.base import InputError, sha256_file, write_json
from counterpoise.chat import Sample, assistant, user
from counterpoise.evals.stats import platt
from counterpoise.models import load
from counterpoise.models.pocket import version_of
from counterpoise.train import TrainConfig, fit, sft_loss

from .._labelled import Labelled, keep_apart
from .._values import Exchange
from ..adapters._family import IMAGE
from ..adapters._model import ModelGuard
from ..adapters._passes import plan
from ._eye import eye
from ._readings import all_asked
from ._small import CARD, FAMILY, SmallGuard, base_id, compose


def training_sample(row: Labelled, shown: Exchange | None = None) -> Sample:
    """The row as the guard will see it, with the verdict as the reply. Raises InputError for what cannot be shown."""
    made = plan(shown or row.exchange, FAMILY.sees, delimiters=FAMILY.delimiters)
    if made.refused or made.unseen:
        raise InputError(f"training row {row.id}: {made.refused or made.unseen}")
    one = made.passes[0]
    ((_, parts),) = compose(one.slots(one.texts), one.mode)
    images = iter(one.images)
    asked = tuple(next(images) if part == IMAGE else part for part in parts)
    return Sample(row.id, (user(*asked), assistant("unsafe" if row.unsafe else "safe")), split="train")


def train_small(
    rows: Sequence[Labelled],
    out: Path,
    *,
    calibration: Sequence[Labelled],
    trained_on: str,
    model: str = "pocket",
    config: TrainConfig | None = None,
    dtype: str = "auto",
    resume: bool = True,
) -> SmallGuard:
    """Train LoRA factors on labelled rows and write `out/adapter` (half precision) and `out/guard.json`.

    `calibration` rows, which share no group with `rows`, fit the Platt scaling. A stopped training goes on when called
    again with the same rows. Raises InputError for rows that cannot be shown and for groups on both sides.
    """
    keep_apart(rows, calibration, "calibration")
    for name, part in (("training", rows), ("calibration", calibration)):
        if {row.unsafe for row in part} != {True, False}:
            raise InputError(f"{name}: needs safe and unsafe rows; give more rows of the missing label")
    loaded = load(model, dtype=dtype)
    reads = version_of(model) is not None  # the words of images come from its own tower
    shown = _forms([row.exchange for row in rows], reads=reads)
    samples = [training_sample(row, each[-1]) for row, each in zip(rows, shown, strict=True)]
    result = fit(loaded, samples, sft_loss, config or settings(), out, resume=resume)
    adapter = Path(result.adapter)
    halve(adapter / "adapter_model.safetensors")
    base = base_id(Path(loaded.path))
    del loaded
    merged = load(model, adapter=adapter, dtype=dtype, merge=True)
    inner = ModelGuard(FAMILY, merged, explain="no")
    forms = _forms([row.exchange for row in calibration], reads=reads)
    left = iter(inner.check([one for own in forms for one in own]))
    raw = [max((p for _ in own if (p := next(left).p_unsafe) is not None), default=None) for own in forms]
    pairs = [(p, row.unsafe) for p, row in zip(raw, calibration, strict=True) if p is not None]
    logits = np.array([math.log(max(p, 1e-7) / max(1 - p, 1e-7)) for p, _ in pairs])
    card = {
        "model": model, "base": base, "eye": eye().revision if reads else None,
        "platt": list(platt(logits, np.array([float(u) for _, u in pairs]))),
        "trained_on": trained_on, "rows": len(rows), "calibration_rows": len(pairs), "steps": result.steps,
        "loss": round(result.loss, 4), "seconds": result.seconds, "precision": result.precision,
    }  # fmt: skip
    write_json(out / CARD, card)
    return SmallGuard(inner, card, sha256_file(adapter / "adapter_model.safetensors")[:12])


def _forms(exchanges: Sequence[Exchange], *, reads: bool) -> list[list[Exchange]]:
    """What the guard will be asked for each exchange."""
    return all_asked(exchanges) if reads else [[exchange] for exchange in exchanges]


def settings(**changes: Any) -> TrainConfig:
    """Of the small guard: rank 8 on every linear layer of the language model, one epoch, the tower frozen."""
    chosen: dict[str, Any] = {
        "learning_rate": 4e-4, "epochs": 1.0, "batch_size": 16, "lora_rank": 8, "lora_alpha": 16, "max_length": 512,
        "save_every_steps": 20,
    }  # fmt: skip
    return TrainConfig(**(chosen | changes))


def halve(file: Path) -> None:
    """Rewrite a safetensors file in half precision: LoRA factors lose nothing that matters, and half the bytes."""
    import torch
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.to(torch.float16).contiguous() for name, tensor in load_file(file).items()}
    part = file.with_suffix(".part")
    save_file(tensors, part, metadata={"format": "pt", "counterpoise": json.dumps({"half": True})})
    part.replace(file)
