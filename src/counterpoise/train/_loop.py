"""The training loop: one for every method. A method brings rows and a loss; see `sft_loss` for the shape of one."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path

import torch

from counterpoise.base import InputError, Progress, write_json
from counterpoise.chat import Sample
from counterpoise.models import Loaded

from . import _checkpoint as checkpoint
from ._adapter import adapted, save_adapter, trainable
from ._collate import Batch, collate
from ._config import TrainConfig
from ._features import FeatureStore
from ._labels import check_against_masks
from ._losses import LossOut, bare, heads_agree
from ._plan import learning_rate, n_steps, share, steps
from ._result import FitResult, finished
from ._rows import ahead, survey
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
    from accelerate import Accelerator

    if not samples:
        raise InputError("training: no rows")
    accelerator = Accelerator(cpu=loaded.device.startswith("cpu"))
    if str(accelerator.distributed_type).endswith(("DEEPSPEED", "FSDP", "MEGATRON_LM")):
        raise InputError(f"training: {accelerator.distributed_type} is not supported; use plain multi-process (DDP)")
    sizes, rows_hash = survey(loaded, samples)
    identity = [rows_hash, config.model_dump(), loaded.fingerprint, getattr(loss, "__qualname__", repr(loss))]
    run = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    done = finished(out, run, resume)
    if done is not None:
        return done
    total = n_steps(len(samples), config.epochs, config.batch_size)
    bf16 = config.precision == "bf16" or (config.precision == "auto" and loaded.dtype == "bfloat16")
    autocast = torch.autocast(accelerator.device.type, torch.bfloat16) if bf16 else nullcontext()
    masks_checked = check_against_masks(loaded, [samples[i] for i in range(min(8, len(samples)))])
    began = time.monotonic()
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
        optimizer = torch.optim.AdamW(parameters.values(), lr=0.0, weight_decay=config.weight_decay)
        state = checkpoint.load(out / "checkpoint" / "state.pt", run) if resume else None
        first = state.step if state else 0
        counts = state.counts if state else {"rows": 0, "labels": 0, "masked": 0, "left_out": 0, "seconds": 0.0}
        if state:
            checkpoint.restore(state, parameters, optimizer)
        module = StepModule(model, loss, store).train()
        step_module, optimizer = prepare(accelerator, module, optimizer, config)
        main = accelerator.is_main_process
        metrics = checkpoint.Metrics(out / "metrics.jsonl", first) if main else None
        if metrics:
            stack.callback(metrics.close)
        recent: list[float] = []

        def plan() -> Iterator[tuple[int, int, list[tuple[list[int], float]]]]:
            """(number, epoch, weighted micro-batches of this process) of the steps that are left."""
            every = steps(
                sizes,
                epochs=config.epochs,
                batch_size=config.batch_size,
                micro_tokens=config.micro_batch_tokens,
                seed=config.seed,
            )
            for number, step in enumerate(every):
                if number >= first:
                    yield number, step.epoch, share(step.micro, accelerator.process_index, accelerator.num_processes)

        full_logits: bool | None = None

        def make(rows: list[int]) -> Batch:
            chosen = [samples[i] for i in rows]
            return collate(loaded, chosen, max_length=config.max_length, hash_images=store is not None)

        def save(step: int) -> None:
            if main:
                now = counts | {"seconds": counts["seconds"] + time.monotonic() - began}
                values = {name: p.detach().cpu() for name, p in parameters.items()}
                checkpoint.save(
                    out / "checkpoint" / "state.pt", checkpoint.State(run, step, values, optimizer.state_dict(), now)
                )

        wanted = (rows for _, _, mine in plan() for rows, _ in mine)
        batches = ahead(wanted, make, depth=0 if accelerator.device.type == "cpu" else 2)
        stack.callback(batches.close)
        interrupted = stack.enter_context(deferred_interrupt())
        bar = stack.enter_context(Progress("train", total, unit="steps", done=first)) if main else None
        for number, epoch, mine in plan():
            torch.manual_seed(config.seed * 1_000_003 + number * accelerator.num_processes + accelerator.process_index)
            rate = learning_rate(
                number, total, peak=config.learning_rate, warmup_ratio=config.warmup_ratio, schedule=config.schedule
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            started = time.monotonic()
            sums: dict[str, float] = dict.fromkeys(("loss", "n", "rows", "masked", "left_out", "tokens"), 0.0)
            for place, (_, weight) in enumerate(mine):
                batch = next(batches).to(accelerator.device)
                if full_logits is None:
                    with autocast:
                        full_logits = not heads_agree(model, batch)
                    module.train()
                batch = batch.with_full_logits() if full_logits else batch
                last = place == len(mine) - 1
                with nullcontext() if last else accelerator.no_sync(step_module), autocast:
                    result = step_module(batch)
                    accelerator.backward(result.loss * weight)
                for name, value in _counted(batch, result).items():
                    sums[name] = sums.get(name, 0.0) + weight * value
            if accelerator.num_processes > 1:
                names = sorted(sums)
                summed = accelerator.reduce(torch.tensor([sums[k] for k in names], dtype=torch.float64), "sum")
                sums = dict(zip(names, summed.tolist(), strict=True))
            labels = max(sums["n"], 1.0)
            for parameter in parameters.values():
                if parameter.grad is not None:  # DDP averaged over processes; the mean is over labelled tokens
                    parameter.grad.mul_(accelerator.num_processes / labels)
            norm = float(torch.nn.utils.clip_grad_norm_(list(parameters.values()), config.max_grad_norm))
            if norm != norm or sums["loss"] != sums["loss"]:
                raise InputError(f"training: loss is not a number at step {number + 1}; lower learning_rate")
            optimizer.step()
            optimizer.zero_grad()
            for mine_name, name in (("rows", "rows"), ("labels", "n"), ("masked", "masked"), ("left_out", "left_out")):
                counts[mine_name] += sums[name]
            recent.append(sums["loss"] / labels)
            extra = {k: v / labels for k, v in sums.items() if k not in ("loss", "n", *_COUNTS)}
            if metrics:
                metrics.write(step=number + 1, epoch=epoch, loss=recent[-1], learning_rate=rate, grad_norm=norm,
                              labels=int(labels), tokens=int(sums["tokens"]), rows=int(sums["rows"]),
                              seconds=round(time.monotonic() - started, 4), **extra)  # fmt: skip
            if bar:
                bar.advance(1, note=f"loss {recent[-1]:.4f}")
            if interrupted.is_set():
                save(number + 1)
                raise KeyboardInterrupt(f"training stopped after step {number + 1} of {total}; run again to go on")
            if (number + 1) % config.save_every_steps == 0 and number + 1 < total:
                save(number + 1)
        accelerator.wait_for_everyone()
        result_ = FitResult(
            adapter=str(out / "adapter"), steps=total, rows=int(counts["rows"]), labelled_tokens=int(counts["labels"]),
            loss=sum(recent[-max(1, total // 10) :]) / max(1, len(recent[-max(1, total // 10) :])),
            seconds=round(counts["seconds"] + time.monotonic() - began, 3), n_masked_ends=int(counts["masked"]),
            n_left_out=int(counts["left_out"]), lora_targets=tuple(targets),
            trainable_parameters=sum(p.numel() for p in parameters.values()), precision="bf16" if bf16 else "fp32",
            features=why if store is None else f"{store.hits} hits, {store.misses} computed",
            masks_checked=masks_checked,
        )  # fmt: skip
        if main:
            save_adapter(model, out / "adapter")
            write_json(out / "fit.json", {"run": run, "result": dataclasses.asdict(result_)})
            (out / "checkpoint" / "state.pt").unlink(missing_ok=True)
        accelerator.wait_for_everyone()
    accelerator.free_memory()
    return result_


_COUNTS = ("rows", "masked", "left_out", "tokens")


def _counted(batch: Batch, result: LossOut) -> dict[str, float]:
    tokens = float(batch.inputs["attention_mask"].sum())
    return {
        "loss": float(result.loss.detach()), "n": float(result.n), "rows": float(len(batch.ids)), "tokens": tokens,
        "masked": float(batch.n_masked_ends), "left_out": float(len(batch.left_out)), **result.metrics,
    }  # fmt: skip
