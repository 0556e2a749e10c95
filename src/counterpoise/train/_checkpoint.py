"""What a training run needs to go on as if nothing had happened, in one file that is replaced atomically; its metrics;
and the record of a finished run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from counterpoise.base import Artifact, ArtifactKind, InputError, atomic_write, read_json


class State(NamedTuple):
    """`step` optimizer steps are done. The order of rows, the dropout and the rollouts of a step follow from its number
    and the weights alone."""

    run: str
    step: int
    parameters: dict[str, Tensor]
    optimizer: dict[str, Any]
    counts: dict[str, float]
    scaler: dict[str, Any]
    extra: dict[str, Any]
    """What a loop of its own keeps (`Stepper.extra`): multipliers, moving windows."""
    losses: list[float]
    """Of the latest steps, as many as the result's loss is a mean of."""


def save(path: Path, state: State) -> None:
    """Write the state; a crash or a full disk leaves the previous one in place."""
    with atomic_write(path, "wb") as file:
        torch.save(state._asdict(), file)


def load(path: Path, run: str) -> State | None:
    """The saved state, or None when there is none. Raises InputError when it belongs to another run or is damaged."""
    if not path.is_file():
        return None
    try:
        state = State(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for a damaged file
        raise InputError(f"{path}: damaged checkpoint ({type(error).__name__}); delete it to start again") from error
    if state.run != run:
        raise InputError(
            f"{path}: belongs to a run with other rows, settings or model; choose another --out or start with --force"
        )
    return state


class Metrics:
    """metrics.jsonl: one line a step, flushed; lines behind the checkpoint are dropped when a run resumes."""

    def __init__(self, path: Path, step: int):
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = []
        if step and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line)
                except (ValueError, KeyError):  # the line that was being written when the run died
                    continue
        with atomic_write(path) as file:
            file.writelines(line + "\n" for line in kept)
        self.path = path
        self.file = path.open("a", encoding="utf-8")

    def write(self, **values: Any) -> None:
        try:
            self.file.write(json.dumps(values) + "\n")
            self.file.flush()
        except OSError as error:
            raise InputError(f"{self.path}: cannot write ({error.strerror or error}); free some space") from error

    def close(self) -> None:
        self.file.close()


@dataclass(frozen=True)
class FitResult:
    """What a finished training leaves behind; also in `fit.json` beside the artifact."""

    adapter: str
    """Folder of the artifact: a PEFT adapter, or whole weights when no LoRA group was trained."""
    kind: ArtifactKind
    fingerprint: str
    steps: int
    rows: int
    """Rows seen, over all epochs."""
    labelled_tokens: int
    loss: float
    """Mean loss over the last tenth of the steps."""
    seconds: float
    n_masked_ends: int
    """Rejection rows, over all epochs, whose end of turn carried no loss."""
    n_left_out: int
    """Rows, over all epochs, that max_length would have damaged."""
    n_cut: int
    """Rows, over all epochs, whose reply max_length cut off, its end of turn included."""
    n_apart: int
    """Rows, over all epochs, whose replies were trained one by one, since the chat template rewrites history."""
    n_halvings: int
    """How often micro-batches were halved because memory ran out."""
    n_skipped: int
    """Steps not taken because gradients overflowed in float16."""
    max_length: int | None
    """The limit that was in force; None: no limit."""
    lora_targets: tuple[str, ...]
    trainable_parameters: int
    precision: str
    processes: int
    """How many trained together."""
    distributed: str
    """How they did: Accelerate's name, such as NO, MULTI_GPU (DDP), FSDP, DEEPSPEED."""
    features: str
    """What the vision-feature cache did."""
    masks_checked: bool
    """Whether the template offers assistant masks; ours were compared with them."""
    trunk: str = ""
    """What passes shared of the blocks that were not trained."""

    @property
    def artifact(self) -> Artifact:
        """The result as every later command reads it."""
        return Artifact(self.kind, Path(self.adapter), self.fingerprint)


def finished(out: Path, run: str, resume: bool) -> FitResult | None:
    """The result of an earlier, finished and equal run. With resume off, what an earlier run left is removed."""
    file = out / "fit.json"
    if not resume:
        for old in (file, out / "checkpoint" / "state.pt"):
            old.unlink(missing_ok=True)
        return None
    if not file.is_file():
        return None
    value = read_json(file)
    if value.get("run") != run:
        raise InputError(f"{out}: holds a training with other rows, settings or model; choose another --out or --force")
    saved: dict[str, Any] = value["result"]
    return FitResult(**saved | {"lora_targets": tuple(saved["lora_targets"])})
