"""What work costs: rows, tokens and, from a timed product, seconds."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from ._steps import model_folder

SHARES = {"generate": 0.05, "read": 0.15, "train": 0.15}
"""Share of a plain matrix product's speed that a model reaches. From 400 generated and 430 trained tokens a second of a
135M model in bfloat16 on two CPU cores; elsewhere the right order of magnitude at best."""


@dataclass(frozen=True)
class Stage:
    """One line of a plan. Tokens are counted once per pass."""

    name: str
    rows: int
    read: int
    """Prompt tokens that are read."""
    written: int = 0
    """Tokens that are generated, at most."""
    trained: int = 0
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """Stages with their cost; `str()` is what `--dry-run` prints."""

    title: str
    stages: tuple[Stage, ...]
    parameters: int | None
    notes: tuple[str, ...] = field(default=())
    table: tuple[str, ...] = field(default=())
    """Lines below the notes."""

    def __str__(self) -> str:
        speed = flops_per_second() if self.parameters else None
        lines, total = [self.title, ""], 0.0
        for stage in self.stages:
            parts = [f"{stage.rows:,} rows", f"{stage.read + stage.written + stage.trained:,} tokens at most"]
            if speed and self.parameters:
                seconds = _seconds(stage, self.parameters, speed)
                total += seconds
                parts.append(f"about {_clock(seconds)}")
            lines.append(f"  {stage.name:<34}{', '.join(parts)}{'; ' + stage.note if stage.note else ''}")
        if not self.stages:
            lines.append("  nothing of it can be measured on this machine")
        elif speed:
            lines.append(f"\n  in all about {_clock(total)} on this machine (order of magnitude, from a timed product)")
        else:
            lines.append("\n  time: unknown until the model is on this machine")
        return "\n".join(
            [*lines, *(f"  note: {note}" for note in self.notes), *(f"  {x}".rstrip() for x in self.table)]
        )


def parameters(model: str) -> int | None:
    """Number of parameters of a model on this disk, from the size of its weights at two bytes each; None: not here."""
    folder = model_folder(model)
    size = sum(file.stat().st_size for file in Path(folder).glob("*.safetensors")) if folder else 0
    return size // 2 or None


def flops_per_second(seconds: float = 0.3) -> float:
    """Speed of a plain bfloat16 matrix product here: the quickest of a moment's, whatever else the machine is doing."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    square = torch.ones(1024, 1024, dtype=torch.bfloat16, device=device)
    float((square @ square)[0, 0])  # the first one chooses its code
    best, start = float("inf"), time.perf_counter()
    while (began := time.perf_counter()) - start < seconds:
        float((square @ square)[0, 0])  # reading a value waits for the device
        best = min(best, time.perf_counter() - began)
    return 2 * 1024**3 / best


def _seconds(stage: Stage, size: int, speed: float) -> float:
    work = 2 * size  # operations per token forward; three times that with the backward pass
    return (
        work * stage.written / (SHARES["generate"] * speed)
        + work * stage.read / (SHARES["read"] * speed)
        + 3 * work * stage.trained / (SHARES["train"] * speed)
    )


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
