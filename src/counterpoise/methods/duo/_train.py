"""The loop of a small diffusion fine-tuning: AdamW on what is trainable, a checkpoint now and then, the same next step.

Every random number of a step follows from (seed, step), so that a killed training goes on as if it had not been.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from counterpoise.base import InputError, Progress, atomic_write, json_line, sha256_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from counterpoise.models.diffusion import Diffusion

Step = Callable[[torch.Generator], "tuple[Tensor, Mapping[str, float]]"]
"""The loss of one step and what is logged of it; all that is random comes from the generator."""


def run_steps(
    model: "Diffusion",
    step: Step,
    out: Path,
    *,
    title: str,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    identity: Mapping[str, Any],
    resume: bool = True,
    save_every: int = 100,
    max_grad_norm: float = 1.0,
    weights: "Mapping[str, Tensor] | None" = None,
) -> dict[str, Any]:
    """Train for `steps`; write `out/log.jsonl` and `out/checkpoint.pt` on the way; return what the last steps logged.

    `weights` are what is trained: None, what is trainable of the network. Raises InputError when the loss is no number,
    or a checkpoint belongs to other settings.
    """
    if weights is None:
        weights = {name: p for name, p in model.net.named_parameters() if p.requires_grad}
    if not weights:
        raise InputError(f"{title}: nothing is trainable")
    optimizer = torch.optim.AdamW(weights.values(), lr=learning_rate, weight_decay=weight_decay)
    file, log = out / "checkpoint.pt", out / "log.jsonl"
    key = sha256_bytes(json.dumps(dict(identity), sort_keys=True, default=str).encode())
    out.mkdir(parents=True, exist_ok=True)
    start, lines = _restored(file, log, key, weights, optimizer) if resume else (0, [])
    model.net.eval()  # the frozen and the tuned pass must not differ by dropout
    with Progress(title, steps, unit="steps", done=start) as bar:
        for number in range(start, steps):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
            loss, seen = step(generator)
            if not math.isfinite(value := float(loss.detach())):
                raise InputError(f"{title}: the loss of step {number} is {value}; lower the learning rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(weights.values(), max_grad_norm)
            optimizer.step()
            lines.append({"step": number, "loss": value, "grad_norm": float(norm), **seen})
            bar.advance(note=f"loss {lines[-1]['loss']:.4f}")
            if (number + 1) % save_every == 0 or number + 1 == steps:
                _save(file, log, key, weights, optimizer, lines)
    last = lines[-max(1, min(50, len(lines))) :]
    return {name: sum(line[name] for line in last) / len(last) for name in last[0] if name != "step"} if last else {}


def _save(
    file: Path, log: Path, key: str, weights: Mapping[str, Any], optimizer: Any, lines: list[dict[str, Any]]
) -> None:
    state = {"key": key, "step": len(lines), "optimizer": optimizer.state_dict(),
             "weights": {name: p.detach().clone() for name, p in weights.items()}}  # fmt: skip
    draft = file.with_suffix(".draft")
    torch.save(state, draft)
    with atomic_write(log) as handle:
        handle.writelines(json_line(line) for line in lines)
    draft.replace(file)


def _restored(
    file: Path, log: Path, key: str, weights: Mapping[str, Any], optimizer: Any
) -> tuple[int, list[dict[str, Any]]]:
    if not file.is_file():
        return 0, []
    try:
        state = torch.load(file, weights_only=True)
    except Exception as error:
        raise InputError(f"{file}: cannot be read ({type(error).__name__}); delete it to begin again") from error
    if state["key"] != key:
        raise InputError(f"{file.parent}: a training with other settings stopped here; choose another --out")
    with torch.no_grad():
        for name, p in weights.items():
            p.copy_(state["weights"][name])
    optimizer.load_state_dict(state["optimizer"])
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return int(state["step"]), lines[: int(state["step"])]
