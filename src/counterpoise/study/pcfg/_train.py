"""One loop for pre-training and for every protocol of safety tuning, which a killed process goes on with.

A step's batch is drawn from a generator seeded by (seed, step), so that step 700 is the same whether the run was
stopped before it or not; a checkpoint is weights, optimiser and step, written whole or not at all.
"""

import copy
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from counterpoise.base import Progress, atomic_write

from . import _losses
from ._gpt import GPT
from ._rows import Rows
from ._sizes import Size
from ._views import VIEWS, View, comply, refuse

Protocol = Literal["ssft", "dpo", "unlearning"]
SAFE_SHARE: dict[Protocol, float] = {"ssft": 0.8, "dpo": 0.5, "unlearning": 0.5}
"""Share of batches that are safe; a batch is drawn whole as safe or unsafe."""
Loss = Callable[[GPT, np.random.Generator, int], Tensor]


class Schedule(NamedTuple):
    """Linear warm-up to `rate`, cosine to `least` at step `decay`."""

    steps: int
    warmup: int
    decay: int
    rate: float
    least: float
    decayed_weights: float = 1e-4

    def at(self, step: int) -> float:
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        part = min((step - self.warmup) / max(self.decay - self.warmup, 1), 1.0)
        return self.least + (self.rate - self.least) * (1 + math.cos(math.pi * part)) / 2


def pretraining(size: Size) -> Schedule:
    return Schedule(size.pretrain_steps, size.pretrain_warmup, size.pretrain_decay, size.pretrain_rate, 1e-5)


def tuning(size: Size, rate: float) -> Schedule:
    return Schedule(size.tune_steps, size.tune_warmup, size.tune_decay, rate, min(1e-6, rate))


def curriculum(size: Size, step: int) -> np.ndarray:
    """(4) probabilities of the views at a step: fixed until half of the warm-up, then linear to the end."""
    begin = size.pretrain_warmup / 2
    part = min(max((step - begin) / max(size.pretrain_steps - begin, 1), 0.0), 1.0)
    found = np.array([start + part * (end - start) for start, end in size.curriculum])
    return np.asarray(found / found.sum())


def pretrain_loss(sets: list[Rows], size: Size) -> Loss:
    """Token cross-entropy of a batch in one view."""

    def loss(model: GPT, rng: np.random.Generator, step: int) -> Tensor:
        make = VIEWS[int(rng.choice(len(VIEWS), p=curriculum(size, step)))]
        shown = make(_draw(sets, size.batch, rng))
        return _losses.token_loss(model(shown.inputs), shown.labels)

    return loss


def tune_loss(protocol: Protocol, safe: list[Rows], unsafe: list[Rows], size: Size, base: GPT) -> Loss:
    """The loss of a protocol. A safe batch's y+ is the true output, its y- the refusal; an unsafe one's the reverse."""
    frozen = copy.deepcopy(base).requires_grad_(False)

    def loss(model: GPT, rng: np.random.Generator, step: int) -> Tensor:
        harmless = bool(rng.random() < SAFE_SHARE[protocol])
        rows = _draw(safe if harmless else unsafe, size.batch, rng)
        wanted, unwanted = (comply, refuse) if harmless else (refuse, comply)
        y = _ce(model, wanted(rows))
        if protocol == "ssft":
            return _losses.ssft(y)
        n = _ce(model, unwanted(rows))
        if protocol == "unlearning":
            return _losses.unlearning(y, n)
        with torch.no_grad():
            ref_y, ref_n = _ce(frozen, wanted(rows)), _ce(frozen, unwanted(rows))
        return _losses.dpo(y, n, ref_y, ref_n)

    return loss


def _ce(model: GPT, shown: View) -> Tensor:
    return _losses.sample_loss(model(shown.inputs), shown.labels)


def _draw(sets: list[Rows], n: int, rng: np.random.Generator) -> Rows:
    rows = sets[int(rng.integers(len(sets)))]
    return rows.take(np.sort(rng.integers(0, len(rows), n)))


def train(model: GPT, loss: Loss, schedule: Schedule, file: Path, title: str, *, seed: int, save_every: int,
          check: Callable[[GPT], Mapping[str, float]] | None = None) -> list[dict[str, float]]:  # fmt: skip
    """Train in place, go on from `file` when it is there, and leave the finished state in it.

    Returns the log: at each checkpoint step, loss and what `check` found. A finished file only loads.
    """
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=schedule.rate, betas=(0.9, 0.95), weight_decay=schedule.decayed_weights
    )
    step, log = _resume(model, optimiser, file)
    losses: list[float] = []
    with Progress(title, schedule.steps, unit="steps", done=step) as progress:
        while step < schedule.steps:
            for group in optimiser.param_groups:
                group["lr"] = schedule.at(step)
            value = loss(model, np.random.default_rng([seed, step]), step)
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            losses.append(float(value.detach()))
            progress.advance(note=f"loss {losses[-1]:.3f}")
            if step % save_every == 0 or step == schedule.steps:
                found = {"step": step, "loss": float(np.mean(losses))} | dict(check(model) if check else {})
                log.append(found)
                losses = []
                state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "log": log}
                _keep(file, state)
    return log


def _resume(model: GPT, optimiser: torch.optim.Optimizer, file: Path) -> tuple[int, list[dict[str, float]]]:
    if not file.is_file():
        return 0, []
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), list(state["log"])


def _keep(file: Path, state: dict[str, Any]) -> None:
    with atomic_write(file, "wb") as target:
        torch.save(state, target)
