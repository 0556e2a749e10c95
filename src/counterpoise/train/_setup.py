"""What the loop sets up around the model: feature cache, processes, Ctrl-C."""

import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from torch import nn

from ._collate import Batch
from ._config import TrainConfig
from ._features import FeatureStore, unsupported
from ._losses import LossOut, bare

Loss = Callable[[Any, Batch], LossOut]


class StepModule(nn.Module):
    """Model, feature cache and loss as one module, so that DDP sees one forward whatever the loss calls."""

    def __init__(self, model: Any, loss: Loss, store: FeatureStore | None):
        super().__init__()
        self.model, self.loss, self.store = model, loss, store

    def train(self, mode: bool = True) -> "StepModule":
        """Parts without a trained parameter (the vision tower) stay in evaluation mode: constant features."""
        super().train(mode)
        for part in getattr(bare(self.model), "model", nn.Module()).children():
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def forward(self, batch: Batch) -> LossOut:
        if self.store is not None:
            inputs = self.store.apply(bare(self.model), batch.inputs, batch.keys)
            batch = dataclasses.replace(batch, inputs=inputs)
        return self.loss(self.model, batch)


def feature_store(
    inner: Any, config: TrainConfig, out: Path, rank: int, given: FeatureStore | None, stack: ExitStack
) -> tuple[FeatureStore | None, str]:
    """The feature cache to use and, when none, why."""
    why = unsupported(inner)
    if config.train_connector:
        why = "the connector is trained"
    if given is None and (config.epochs <= 1 or config.feature_cache_mb == 0):
        why = why or ("one epoch sees each image once" if config.epochs <= 1 else "feature_cache_mb is 0")
    if why:
        return None, f"not used: {why}"
    if given is not None:
        return given, ""
    store = FeatureStore(out / "checkpoint" / f"features-{rank}.bin", config.feature_cache_mb << 20)
    stack.callback(store.close)
    return store, ""


def prepare(accelerator: Any, module: StepModule, optimizer: Any, config: TrainConfig) -> tuple[Any, Any]:
    """DDP in a launch with several processes. Text-only batches leave a trained connector without gradients."""
    if accelerator.num_processes == 1:
        return module.to(accelerator.device), optimizer
    from accelerate import DistributedDataParallelKwargs

    accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=config.train_connector)
    prepared: tuple[Any, Any] = accelerator.prepare(module, optimizer)
    return prepared


@contextmanager
def quick_attention(model: Any, device: str) -> Iterator[None]:
    """On a CPU, attention as plain matrix products while training: the backward pass of PyTorch's fused kernel took
    50 ms per layer there for 3,000 tokens in rows of 75, the plain one 5 ms. Elsewhere nothing changes."""
    before = getattr(model.config, "_attn_implementation", None)
    if device != "cpu" or before != "sdpa":
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def no_detour(model: Any, autocast: bool) -> Iterator[None]:
    """Under autocast, PEFT turns a layer's bf16 input into the factors' fp32 and autocast turns it back: two copies of
    every activation, forward and backward, and the same numbers. Left out, that is."""
    from peft.helpers import disable_input_dtype_casting

    with disable_input_dtype_casting(model, active=autocast):
        yield


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event that is looked at between steps; a second one interrupts at once."""
    seen = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def note(signum: int, frame: FrameType | None) -> None:
        if seen.is_set():
            raise KeyboardInterrupt
        seen.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
