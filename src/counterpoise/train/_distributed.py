"""Accelerate around a training: processes, precision, sharding. The loop asks it and branches on no back end itself.

One process, DDP and FSDP2 keep their state in one file of full tensors, so that a run can go on under another number of
processes or another of these three; DeepSpeed keeps its own folder, since it owns optimizer and master weights.
"""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from counterpoise.base import InputError, launched_processes
from counterpoise.models import Loaded

from ._config import TrainConfig


def precision_of(loaded: Loaded, config: TrainConfig) -> str:
    """ "bf16", "fp16" or "fp32": what `precision` means for this model. Raises InputError where it cannot be."""
    auto = {"bfloat16": "bf16", "float16": "fp16"}.get(loaded.dtype, "fp32")
    chosen = auto if config.precision == "auto" else config.precision
    if chosen == "fp32" and any(p.dtype != torch.float32 for p in loaded.model.parameters()):
        raise InputError(
            f"{loaded.name}: loaded in {loaded.dtype}, but precision is fp32; load it with --dtype float32"
        )
    if chosen != auto and {chosen, auto} == {"bf16", "fp16"}:
        raise InputError(f"{loaded.name}: loaded in {loaded.dtype}, but precision is {chosen}; give the same for both")
    return chosen


class Processes:
    """One `Accelerator` and what the loop needs of it."""

    def __init__(self, loaded: Loaded, precision: str):
        from accelerate import Accelerator

        launched_processes()  # half a launcher's environment is a line here, and a traceback of Accelerate's below
        on_cpu = loaded.device.startswith("cpu")
        deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"
        # Autocast is ours and follows the model, not the launcher's setting; only DeepSpeed casts weights itself. And
        # Accelerate never hands a CPU to DeepSpeed when it is told that it is one.
        mixed = precision.replace("fp32", "no") if deepspeed else "no"
        self.accelerator = Accelerator(cpu=on_cpu and not deepspeed, mixed_precision=mixed)
        self.kind = str(self.accelerator.distributed_type).rpartition(".")[2]
        if self.kind == "MEGATRON_LM" or (self.kind == "FSDP" and not self.accelerator.is_fsdp2):
            raise InputError(f"training: {self.kind} is not supported; use DDP, FSDP2 (fsdp_version: 2) or DeepSpeed")
        if precision == "fp16" and not deepspeed:
            self.accelerator.scaler = torch.amp.GradScaler(self.accelerator.device.type)
        self.precision = precision
        self.device = self.accelerator.device
        self.rank, self.world = int(self.accelerator.process_index), int(self.accelerator.num_processes)
        launched = launched_processes()
        if launched != self.world:  # each would train alone, into one folder
            raise InputError(
                f"training: {launched} processes were launched, but Accelerate counts {self.world} ({self.kind}); "
                "launch them with a file of configs/accelerate, see docs/training.md"
            )

    @property
    def main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    @property
    def sharded(self) -> bool:
        """Whether a process holds only a part of the weights: no process can then run the model for itself."""
        return self.kind == "FSDP" or (self.kind == "DEEPSPEED" and self._zero_stage == 3)

    @property
    def deepspeed(self) -> bool:
        return self.kind == "DEEPSPEED"

    @property
    def _zero_stage(self) -> int:
        return int(self.accelerator.state.deepspeed_plugin.zero_stage)

    def prepare(self, module: Any, optimizer: Any, *, clip: float, unused: bool) -> tuple[Any, Any]:
        """Accelerate's preparation of a model and its optimizer. `unused`: some steps leave parameters without a
        gradient (several roles, heads, a projector on rows without images)."""
        if self.deepspeed:
            settings = self.accelerator.state.deepspeed_plugin.deepspeed_config
            settings |= {"gradient_clipping": clip, "train_micro_batch_size_per_gpu": 1}
            settings["gradient_accumulation_steps"] = 1  # micro-batches are counted and weighted by the loop
        elif self.kind != "FSDP" and self.world > 1:
            from accelerate import DistributedDataParallelKwargs

            self.accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=unused)
        prepared: tuple[Any, Any] = self.accelerator.prepare(module, optimizer)
        return prepared

    def autocast(self) -> Any:
        """The mixed-precision context of a forward pass."""
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        kind = kinds.get(self.precision, torch.bfloat16)
        return torch.autocast(self.device.type, kind, enabled=self.precision in kinds)

    @contextmanager
    def accumulate(self, module: Any, last: bool) -> Iterator[None]:
        """Around one micro-batch: gradients are exchanged in the last one of a step."""
        self.accelerator.sync_gradients = last
        try:
            if last:
                yield
            else:
                with self.accelerator.no_sync(module):
                    yield
        finally:
            self.accelerator.sync_gradients = True

    def update(self, optimizer: Any, parameters: list[Any], clip: float) -> tuple[float, bool]:
        """Clip the gradients to the norm `clip`, take the optimizer's step, forget the gradients.

        Returns their norm before clipping and whether the step was taken (not when float16 gradients overflowed).
        """
        scaler = self.accelerator.scaler
        if scaler is not None:
            scaler.unscale_(optimizer.optimizer)
        norm = self.accelerator.clip_grad_norm_(parameters, clip)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        value = float("nan") if norm is None else float(norm)
        if scaler is None and not self.deepspeed and not math.isfinite(value):
            return value, False
        optimizer.step()
        optimizer.zero_grad()
        return value, not optimizer.step_was_skipped

    def total(self, sums: Mapping[str, float]) -> dict[str, float]:
        """The sums of all processes; every process must bring the same names."""
        if self.world == 1:
            return dict(sums)
        names = sorted(sums)
        values = torch.tensor([sums[k] for k in names], dtype=torch.float64, device=self.device)
        return dict(zip(names, self.accelerator.reduce(values, "sum").tolist(), strict=True))

    def most(self, value: float) -> float:
        """The largest value of all processes."""
        if self.world == 1:
            return value
        found = self.accelerator.gather(torch.tensor([value], dtype=torch.float64, device=self.device))
        return float(found.max())

    def same(self, value: str, what: str) -> None:
        """Raises InputError when processes do not agree: their folders are not the same one."""
        from accelerate.utils import gather_object

        if self.world > 1 and len(set(gather_object([value]))) > 1:
            raise InputError(f"training: processes see different {what}; --out must be on storage that all share")

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()


def full(tensor: Tensor) -> Tensor:
    """A parameter or a tensor of the optimizer in one piece on the CPU, in float32 where there is a master copy. All
    processes must ask, in the same order."""
    if hasattr(tensor, "full_tensor"):  # FSDP2
        tensor = tensor.full_tensor()
    elif hasattr(tensor, "ds_id") or hasattr(tensor, "_hp_mapping"):  # DeepSpeed
        from deepspeed.utils import safe_get_full_fp32_param

        tensor = safe_get_full_fp32_param(tensor)
    return tensor.detach().cpu()


def fill(target: Tensor, value: Tensor) -> None:
    """Put a full value into a parameter, sharded or not."""
    with torch.no_grad():
        if hasattr(target, "device_mesh") and hasattr(target, "placements"):
            from torch.distributed.tensor import distribute_tensor

            value = distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
        target.copy_(value)
