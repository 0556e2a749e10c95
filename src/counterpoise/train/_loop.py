"""The training loop: one for every method. A method brings rows and a loss; see `sft_loss` for the shape of one."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from counterpoise.base import InputError, Progress, write_json
from counterpoise.chat import Sample
from counterpoise.models import Loaded

from . import _checkpoint as checkpoint
from ._adapter import adapted, save_adapter, trainable
from ._config import TrainConfig
from ._features import FeatureStore
from ._losses import bare
from ._mask_check import check_against_masks
from ._result import FitResult, finished
from ._rows import ahead, survey
from ._session import Session
from ._setup import Loss, StepModule, deferred_interrupt, feature_store, no_detour, prepare, quick_attention


def fit(
    loaded: Loaded,
    samples: Sequence[Sample],
    loss: Loss,
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = True,
    features: FeatureStore | None = None,
) -> FitResult:
    """Train LoRA factors and write `out/adapter/`, `out/metrics.jsonl`, `out/fit.json`; `loaded` stays as it is.

    The loss of a step is its sum over all micro-batches and processes divided by their labelled tokens, so that neither
    `micro_batch_tokens` nor the number of processes changes the result. A killed run goes on from `out/checkpoint/`
    and ends with the same adapter; a finished one is returned without training. Ctrl-C finishes the step, saves and
    raises KeyboardInterrupt. Start it under `accelerate launch` to use several processes.

    Raises InputError for rows, files or settings the user can mend, one line each.
    """
    if not samples:
        raise InputError("training: no rows")
    accelerator = _accelerator(loaded)
    sizes, rows_hash = survey(loaded, samples)
    identity = [rows_hash, config.model_dump(), loaded.fingerprint, getattr(loss, "__qualname__", repr(loss))]
    run = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    done = finished(out, run, resume)
    if done is not None:
        return done
    bf16 = config.precision == "bf16" or (config.precision == "auto" and loaded.dtype == "bfloat16")
    autocast = partial(torch.autocast, accelerator.device.type, torch.bfloat16) if bf16 else nullcontext
    masks_checked = check_against_masks(loaded, [samples[i] for i in range(min(8, len(samples)))])
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        stack.enter_context(quick_attention(loaded.model, accelerator.device.type))
        model, targets = stack.enter_context(adapted(loaded, config))
        stack.enter_context(no_detour(model, bf16))
        if config.gradient_checkpointing:
            bare(model).gradient_checkpointing_enable({"use_reentrant": False})
            stack.callback(bare(model).gradient_checkpointing_disable)
        store, why = feature_store(bare(model), config, out, accelerator.process_index, features, stack)
        parameters = trainable(model)
        optimizer: Any = torch.optim.AdamW(parameters.values(), lr=0.0, weight_decay=config.weight_decay)
        state = checkpoint.load(out / "checkpoint" / "state.pt", run) if resume else None
        if state:
            checkpoint.restore(state, parameters, optimizer)
        module, optimizer = prepare(accelerator, StepModule(model, loss, store).train(), optimizer, config)
        session = Session(
            loaded, samples, sizes, config, out, run, accelerator, model, module, optimizer, parameters, store,
            autocast, state,
        )  # fmt: skip
        _train(session, stack)
        accelerator.wait_for_everyone()
        used = why if store is None else f"{store.hits} hits, {store.misses} computed"
        result = session.result(targets, used, "bf16" if bf16 else "fp32", masks_checked)
        if accelerator.is_main_process:
            save_adapter(model, out / "adapter")
            write_json(out / "fit.json", {"run": run, "result": dataclasses.asdict(result)})
            (out / "checkpoint" / "state.pt").unlink(missing_ok=True)
        accelerator.wait_for_everyone()
    accelerator.free_memory()
    return result


def _accelerator(loaded: Loaded) -> Any:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=loaded.device.startswith("cpu"))
    if str(accelerator.distributed_type).endswith(("DEEPSPEED", "FSDP", "MEGATRON_LM")):
        raise InputError(f"training: {accelerator.distributed_type} is not supported; use plain multi-process (DDP)")
    return accelerator


def _train(session: Session, stack: ExitStack) -> None:
    """All steps that are left, with metrics, progress and checkpoints (those of the main process)."""
    main, total = session.accelerator.is_main_process, session.total
    metrics = checkpoint.Metrics(session.out / "metrics.jsonl", session.first) if main else None
    if metrics:
        stack.callback(metrics.close)
    wanted = (rows for _, _, mine in session.plan() for rows, _ in mine)
    batches = ahead(wanted, session.batch, depth=0 if session.accelerator.device.type == "cpu" else 2)
    stack.callback(batches.close)
    interrupted = stack.enter_context(deferred_interrupt())
    bar = stack.enter_context(Progress("train", total, unit="steps", done=session.first)) if main else None
    for number, epoch, mine in session.plan():
        line = session.step(number, mine, batches)
        if metrics:
            metrics.write(step=number + 1, epoch=epoch, **line)
        if bar:
            bar.advance(1, note=f"loss {line['loss']:.4f}")
        if interrupted.is_set():
            session.save(number + 1)
            raise KeyboardInterrupt(f"training stopped after step {number + 1} of {total}; run again to go on")
        if (number + 1) % session.config.save_every_steps == 0 and number + 1 < total:
            session.save(number + 1)
