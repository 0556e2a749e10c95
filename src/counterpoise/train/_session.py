"""One training while it runs: what it holds, one step of it, its checkpoint and its result."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.models import Loaded

from . import _checkpoint as checkpoint
from ._collate import Batch, collate
from ._config import TrainConfig
from ._features import FeatureStore
from ._losses import LossOut, heads_agree
from ._plan import Sizes, learning_rate, n_steps, share, steps
from ._result import FitResult

Micro = list[tuple[list[int], float]]
"""The micro-batches of one step: row numbers and weight."""
COUNTED = {"rows": "rows", "labels": "n", "masked": "masked", "left_out": "left_out"}
"""Counts over the whole run, and the sums of a step that they add up."""


@dataclass
class Session:
    """`fit` builds one and moves it a step at a time."""

    loaded: Loaded
    samples: Sequence[Sample]
    sizes: Sizes
    config: TrainConfig
    out: Path
    run: str
    """Hash of rows, settings, model and loss: what a checkpoint belongs to."""
    accelerator: Any
    model: Any
    module: Any
    """Model, feature cache and loss as one module, under DDP when there are several processes."""
    optimizer: Any
    parameters: dict[str, Tensor]
    store: FeatureStore | None
    autocast: Callable[[], Any]
    state: checkpoint.State | None
    """Where a killed run stopped."""
    counts: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*COUNTED, "seconds"), 0.0))
    losses: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    full_logits: bool | None = None

    def __post_init__(self) -> None:
        self.first = self.state.step if self.state else 0
        self.total = n_steps(len(self.samples), self.config.epochs, self.config.batch_size)
        if self.state:
            self.counts = dict(self.state.counts)

    def plan(self) -> Iterator[tuple[int, int, Micro]]:
        """(number, epoch, micro-batches of this process) of the steps that are left."""
        config, rank, world = self.config, self.accelerator.process_index, self.accelerator.num_processes
        every = steps(
            self.sizes,
            epochs=config.epochs,
            batch_size=config.batch_size,
            micro_tokens=config.micro_batch_tokens,
            seed=config.seed,
        )
        for number, step in enumerate(every):
            if number >= self.first:
                yield number, step.epoch, share(step.micro, rank, world)

    def batch(self, rows: list[int]) -> Batch:
        """Those rows as tensors."""
        chosen = [self.samples[i] for i in rows]
        return collate(self.loaded, chosen, max_length=self.config.max_length, hash_images=self.store is not None)

    def step(self, number: int, mine: Micro, batches: Iterator[Batch]) -> dict[str, float]:
        """One optimizer step; returns what its line of metrics says. Raises InputError for a loss that is no number."""
        started, config = time.monotonic(), self.config
        torch.manual_seed(config.seed * 1_000_003 + number * self.accelerator.num_processes + self._rank)
        rate = learning_rate(
            number, self.total, peak=config.learning_rate, warmup_ratio=config.warmup_ratio, schedule=config.schedule
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        sums = self._gradients(mine, batches)
        labels = max(sums["n"], 1.0)
        norm = self._update(labels)
        if norm != norm or sums["loss"] != sums["loss"]:
            raise InputError(f"training: loss is not a number at step {number + 1}; lower learning_rate")
        self.optimizer.step()
        self.optimizer.zero_grad()
        for name, source in COUNTED.items():
            self.counts[name] += sums[source]
        self.losses.append(sums["loss"] / labels)
        own = {k: v / labels for k, v in sums.items() if k not in ("loss", "n", "tokens", *COUNTED)}
        return {
            "loss": self.losses[-1], "learning_rate": rate, "grad_norm": norm, "labels": int(labels),
            "tokens": int(sums["tokens"]), "rows": int(sums["rows"]), "seconds": round(time.monotonic() - started, 4),
        } | own  # fmt: skip

    @property
    def _rank(self) -> int:
        return int(self.accelerator.process_index)

    def _gradients(self, mine: Micro, batches: Iterator[Batch]) -> dict[str, float]:
        """Forward and backward of all micro-batches; the sums of what the loss reports, over all processes."""
        accelerator = self.accelerator
        sums: dict[str, float] = dict.fromkeys(("loss", "n", "rows", "masked", "left_out", "tokens"), 0.0)
        for place, (_, weight) in enumerate(mine):
            batch = self._with_head(next(batches).to(accelerator.device))
            last = place == len(mine) - 1
            with nullcontext() if last else accelerator.no_sync(self.module), self.autocast():
                result = self.module(batch)
                accelerator.backward(result.loss * weight)
            for name, value in _counted(batch, result).items():
                sums[name] = sums.get(name, 0.0) + weight * value
        if accelerator.num_processes == 1:
            return sums
        names = sorted(sums)
        summed = accelerator.reduce(torch.tensor([sums[k] for k in names], dtype=torch.float64), "sum")
        return dict(zip(names, summed.tolist(), strict=True))

    def _with_head(self, batch: Batch) -> Batch:
        """Logits of labelled places only, where the model's head allows it: asked once, of the first batch."""
        if self.full_logits is None:
            with self.autocast():
                self.full_logits = not heads_agree(self.model, batch)
            self.module.train()
        return batch.with_full_logits() if self.full_logits else batch

    def _update(self, labels: float) -> float:
        """Gradients as the mean over labelled tokens (DDP averaged them over processes), clipped; their norm."""
        for parameter in self.parameters.values():
            if parameter.grad is not None:
                parameter.grad.mul_(self.accelerator.num_processes / labels)
        return float(torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), self.config.max_grad_norm))

    def save(self, step: int) -> None:
        """Write the checkpoint after `step` steps, in the main process."""
        if self.accelerator.is_main_process:
            values = {name: p.detach().cpu() for name, p in self.parameters.items()}
            now = self.counts | {"seconds": self._seconds()}
            state = checkpoint.State(self.run, step, values, self.optimizer.state_dict(), now)
            checkpoint.save(self.out / "checkpoint" / "state.pt", state)

    def result(self, targets: Sequence[str], features: str, precision: str, masks_checked: bool) -> FitResult:
        """What the finished run leaves behind."""
        tail = self.losses[-max(1, self.total // 10) :]
        return FitResult(
            adapter=str(self.out / "adapter"), steps=self.total, rows=int(self.counts["rows"]),
            labelled_tokens=int(self.counts["labels"]), loss=sum(tail) / max(1, len(tail)),
            seconds=round(self._seconds(), 3), n_masked_ends=int(self.counts["masked"]),
            n_left_out=int(self.counts["left_out"]), lora_targets=tuple(targets),
            trainable_parameters=sum(p.numel() for p in self.parameters.values()), precision=precision,
            features=features, masks_checked=masks_checked,
        )  # fmt: skip

    def _seconds(self) -> float:
        return self.counts["seconds"] + time.monotonic() - self.began


def _counted(batch: Batch, result: LossOut) -> dict[str, float]:
    tokens = float(batch.inputs["attention_mask"].sum())
    return {
        "loss": float(result.loss.detach()), "n": float(result.n), "rows": float(len(batch.ids)), "tokens": tokens,
        "masked": float(batch.n_masked_ends), "left_out": float(len(batch.left_out)), **result.metrics,
    }  # fmt: skip
