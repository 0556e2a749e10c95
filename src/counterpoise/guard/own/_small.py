"""The small guard: the pocket VLM (or any model of yours) with LoRA, asked in Llama Guard's way. It reads images with
its own tower, prompts and answers, and says `safe` or `unsafe`; its features are the hidden state before that word."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterpoise.base import InputError, read_json, sha256_file, write_json
from counterpoise.chat import Sample, assistant, user
from counterpoise.models import load
from counterpoise.models._source import find_folder
from counterpoise.train import TrainConfig, fit, sft_loss

from .._labelled import Labelled
from .._values import Exchange, Sees, Verdict
from ..adapters import _parse
from ..adapters._family import IMAGE, Family, Turns
from ..adapters._model import ModelGuard
from ..adapters._parse import Mode
from ..adapters._passes import plan
from ._head import platt

PARTS = Path(__file__).parent / "parts" / "small"
CARD = "guard.json"
BLOCK = ("<BEGIN CONVERSATION>", "<END CONVERSATION>")
NAMES = {"user": "User", "assistant": "Agent"}


def compose(turns: Turns, mode: Mode, policy: str = "") -> Turns:
    """One user turn of Llama Guard's shape, in fewer words: the task, the conversation block, what to answer."""
    role = NAMES[turns[-1][0]]
    parts: list[str] = [f"Task: Check the last {role} message for unsafe content.\n\n{BLOCK[0]}"]
    for speaker, own in turns:
        parts += [f"\n\n{NAMES[speaker]}: ", *own]
    parts.append(f"\n\n{BLOCK[1]}\n\nAnswer safe or unsafe.")
    return (("user", tuple(parts)),)


FAMILY = Family(
    name="small",
    about="the pocket VLM with LoRA in Llama Guard's format, trained on our own prompts",
    models=("pocket",),
    licence="Apache-2.0",
    sees=Sees(texts=True, images=None, answers=True),
    safe=("safe",),
    unsafe=("unsafe",),
    parse=_parse.llama_guard,
    max_new_tokens=8,
    compose=compose,
    block=BLOCK,
    delimiters=BLOCK,
    context=1024,
    note="says safe or unsafe, without categories",
)


def training_sample(row: Labelled) -> Sample:
    """The row as the guard will see it, with the verdict as the reply. Raises InputError for what cannot be shown."""
    made = plan(row.exchange, FAMILY.sees, delimiters=FAMILY.delimiters)
    if made.refused or made.unseen:
        raise InputError(f"training row {row.id}: {made.refused or made.unseen}")
    one = made.passes[0]
    ((_, parts),) = compose(one.slots(one.texts), one.mode)
    images = iter(one.images)
    shown = tuple(next(images) if part == IMAGE else part for part in parts)
    return Sample(row.id, (user(*shown), assistant("unsafe" if row.unsafe else "safe")), split="train")


class SmallGuard:
    """A trained model guard whose probability is calibrated: logit p' = slope logit p + offset (Platt 1999)."""

    def __init__(self, inner: ModelGuard, card: dict[str, Any], revision: str):
        self.inner, self.card, self.id = inner, card, "small"
        self.revision = f"{revision}-{inner.loaded.fingerprint}"

    @property
    def sees(self) -> Sees:
        """What it looks at in one pass: any number of images, if its model has eyes."""
        return self.inner.sees

    @property
    def feature_spec(self) -> dict[str, object]:
        """What its features are, for routers."""
        return {"layer": "last", "pooling": "verdict position", "suffix_ids": []}

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict for each exchange, in order."""
        return [self._calibrated(verdict) for verdict in self.inner.check(exchanges)]

    def _calibrated(self, verdict: Verdict) -> Verdict:
        more: dict[str, Any] = {"guard": self.id, "revision": self.revision}
        if verdict.p_unsafe is not None:
            more |= {"p_unsafe": calibrated(verdict.p_unsafe, *self.card["platt"]), "calibrated": True}
            if verdict.label in ("safe", "unsafe"):
                unsafe = more["p_unsafe"] > 0.5
                incomplete = not unsafe and not verdict.inspected.complete
                more["label"] = "unsafe" if unsafe else "unknown" if incomplete else "safe"
                if incomplete:
                    more["reason"] = "not every part was inspected"
        return dataclasses.replace(verdict, **more)


def calibrated(p: float, slope: float, offset: float) -> float:
    """sigmoid(slope logit(p) + offset), with p kept off 0 and 1."""
    p = min(max(p, 1e-7), 1 - 1e-7)
    z = slope * math.log(p / (1 - p)) + offset
    return 1 / (1 + math.exp(-min(max(z, -40.0), 40.0)))


def small(detail: str | None = None, *, batch: int = 64, dtype: str = "auto") -> SmallGuard:
    """The shipped small guard, or one of `counterpoise guard train small` from its folder.

    Raises InputError when the folder holds no such guard, or its model is not the one that it was trained on.
    """
    folder = Path(detail) if detail else PARTS
    card = _card(folder)
    if card["base"] != base_id(find_folder(card["model"])):
        raise InputError(
            f"{folder}: trained on another version of {card['model']}; train it again"
            + ("" if detail else " with scripts/guards/train.py small")
        )
    loaded = load(card["model"], adapter=folder / "adapter", dtype=dtype, merge=True)
    inner = ModelGuard(FAMILY, loaded, explain="no", batch=batch)
    return SmallGuard(inner, card, sha256_file(folder / "adapter" / "adapter_model.safetensors")[:12])


def _card(folder: Path) -> dict[str, Any]:
    file = folder / CARD
    if not file.is_file():
        raise InputError(
            f"{folder}: no trained small guard there; train one with: counterpoise guard train small --data ROWS"
        )
    card = read_json(file)
    right = isinstance(card, dict) and isinstance(card.get("platt"), list) and len(card["platt"]) == 2
    if not right or not {"model", "base"} <= set(card):
        raise InputError(f"{file}: not a small guard's card (model, base, platt); train it again")
    return dict(card)


def base_id(folder: Path) -> str:
    """What identifies the weights of a model, whatever dtype they are loaded in."""
    files = sorted(folder.glob("*.safetensors"))
    return "-".join(sha256_file(file)[:12] for file in files)


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
    shared = {row.group for row in rows} & {row.group for row in calibration}
    if shared:
        raise InputError(f"calibration: group {sorted(shared)[0]!r} is also trained on; keep groups apart")
    for name, part in (("training", rows), ("calibration", calibration)):
        if {row.unsafe for row in part} != {True, False}:
            raise InputError(f"{name}: needs safe and unsafe rows; give more rows of the missing label")
    loaded = load(model, dtype=dtype)
    samples = [training_sample(row) for row in rows]
    result = fit(loaded, samples, sft_loss, config or settings(), out, resume=resume)
    adapter = Path(result.adapter)
    halve(adapter / "adapter_model.safetensors")
    base = base_id(Path(loaded.path))
    del loaded
    merged = load(model, adapter=adapter, dtype=dtype, merge=True)
    inner = ModelGuard(FAMILY, merged, explain="no")
    raw = [verdict.p_unsafe for verdict in inner.check([row.exchange for row in calibration])]
    pairs = [(p, row.unsafe) for p, row in zip(raw, calibration, strict=True) if p is not None]
    logits = np.array([math.log(max(p, 1e-7) / max(1 - p, 1e-7)) for p, _ in pairs])
    card = {
        "model": model, "base": base, "platt": list(platt(logits, np.array([float(u) for _, u in pairs]))),
        "trained_on": trained_on, "rows": len(rows), "calibration_rows": len(pairs), "steps": result.steps,
        "loss": round(result.loss, 4), "seconds": result.seconds, "precision": result.precision,
    }  # fmt: skip
    write_json(out / CARD, card)
    return SmallGuard(inner, card, sha256_file(adapter / "adapter_model.safetensors")[:12])


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
