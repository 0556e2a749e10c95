"""`fit`: a training from rows to an artifact, resumable, for every method. A method brings rows and an objective."""

import dataclasses
import hashlib
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import torch

from counterpoise.base import Artifact, InputError, Progress, notice, write_json
from counterpoise.models import Loaded, fingerprint, language_root

from . import _checkpoint as checkpoint
from ._checkpoint import FitResult, finished
from ._config import MEMORY_KNOBS, TrainConfig
from ._distributed import Processes, precision_of
from ._features import FeatureStore, unsupported
from ._groups import Projector
from ._losses import bare
from ._mask_check import check_against_masks
from ._objective import Loss, Objective, as_objective
from ._plan import FixedPlan, Planner
from ._stepper import Stepper
from ._trainable import Trainable, on
from ._trunk import shared_trunk

R = TypeVar("R")
"""Settings that change cost and not the result: a run may go on with others."""


def fit(
    loaded: Loaded,
    rows: Sequence[R] | Planner[R],
    objective: Objective[R] | Loss,
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = True,
    features: FeatureStore | None = None,
) -> FitResult:
    """Train what `config.plan()` names and write the artifact, `out/metrics.jsonl`, `out/fit.json`; `loaded` stays as
    it is. The artifact is `out/adapter/`, or `out/weights/` when no LoRA group is trained.

    `rows` are the objective's rows, or a Planner that makes them step by step. The loss of a step is its sum over all
    micro-batches and processes divided by their labelled tokens (or what the objective counts), so that neither
    `micro_batch_tokens` nor the number of processes changes the result. A killed run goes on from `out/checkpoint/` and
    ends with the same values; a finished one is returned without training. Ctrl-C finishes the step, saves and raises
    KeyboardInterrupt. Start it under `accelerate launch` to use several processes; a model that was sharded there
    cannot be used afterwards.

    Raises InputError for rows, files or settings the user can mend, one line each.
    """
    objective = as_objective(objective)
    planner = rows if isinstance(rows, Planner) else FixedPlan(rows, config)
    processes = Processes(loaded, precision_of(loaded, config))
    run = identity(loaded, planner, objective, config)
    processes.same(run, "rows or settings")
    done = finished(out, run, resume)
    processes.same(str(done is None), "results")
    if done is not None:
        return done
    masks_checked = _masks_checked(loaded, planner, objective)
    kept = isinstance(planner, FixedPlan) and config.epochs > 1
    with training(
        loaded, config, out, total=planner.total, run=run, resume=resume, processes=processes, keep_features=kept,
        features=features,
    ) as stepper, ExitStack() as stack:  # fmt: skip
        _train(stepper, planner, objective, stack)
        artifact = stepper.artifact()
        result = _result(stepper, artifact, masks_checked)
        if processes.main:
            write_json(out / "fit.json", {"run": run, "result": dataclasses.asdict(result)})
            (out / "checkpoint" / "state.pt").unlink(missing_ok=True)
        processes.wait()
    return result


@contextmanager
def training(
    loaded: Loaded, config: TrainConfig, out: Path, *, total: int, run: str, resume: bool = True,
    processes: Processes | None = None, keep_features: bool = False, features: FeatureStore | None = None,
) -> Iterator[Stepper]:  # fmt: skip
    """What `config.plan()` names put on the model, and a Stepper of `total` steps for it, restored from the checkpoint
    in `out` if there is one. On leaving, the model is as it came in.

    `run` is the identity of the training: all that decides its result, see `digest`. `keep_features` keeps the features
    of images on disk, for loops that show an image more than once, and the states of the trunk from step to step. For
    methods that need more than `fit`.
    """
    processes = processes or Processes(loaded, precision_of(loaded, config))
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        stack.enter_context(quick_attention(loaded.model, processes.device.type))
        trainable = stack.enter_context(on(loaded, config.plan(), config, restore=not processes.sharded))
        if config.gradient_checkpointing:
            bare(trainable).gradient_checkpointing_enable({"use_reentrant": False})
            stack.callback(bare(trainable).gradient_checkpointing_disable)
        place = out / "checkpoint" / f"features-{processes.rank}.bin" if keep_features else None
        trainable.store = feature_store(trainable, config, place, features, stack)
        trainable.trunk, trainable.unused_trunk = shared_trunk(
            trainable, config.trunk_cache_mb << 20, lasting=keep_features, sharded=processes.sharded
        )
        stepper = Stepper(trainable, config, processes, total, out, run)
        stack.callback(processes.accelerator.free_memory)
        if resume:
            stepper.restore()
        yield stepper


def identity(loaded: Loaded, planner: Planner[Any], objective: Objective[Any], config: TrainConfig) -> str:
    """Hash of what decides a run's result: rows with their images' bytes, settings of training and loss, model; of what
    groups start from the content, wherever it lies."""
    settings = config.model_dump(mode="json", exclude=MEMORY_KNOBS)
    for group in settings["groups"]:
        if group.get("start") and Path(group["start"]).is_dir():
            group["start"] = fingerprint(Path(group["start"]), None, {})
    parts = [planner.fingerprint(), planner.total, settings, loaded.fingerprint, objective.fingerprint()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _train(stepper: Stepper, planner: Planner[R], objective: Objective[R], stack: ExitStack) -> None:
    """All steps that are left, with metrics, progress and checkpoints (those of the main process)."""
    main, total = stepper.processes.main, stepper.total
    metrics = checkpoint.Metrics(stepper.out / "metrics.jsonl", stepper.number) if main else None
    if metrics:
        stack.callback(metrics.close)
    interrupted = stack.enter_context(deferred_interrupt())
    bar = stack.enter_context(Progress("train", total, unit="steps", done=stepper.number)) if main else None
    for encoded in planner.steps(stepper, objective):
        before = stepper.counts["halvings"]
        line = stepper.step(objective, encoded)
        if metrics:
            metrics.write(step=stepper.number, epoch=encoded.epoch, **line)
        if bar:
            halved = f", {stepper.micro_tokens} tokens at once now" if stepper.counts["halvings"] > before else ""
            bar.advance(1, note=f"loss {line['loss']:.4f}{halved}")
        stop = bool(stepper.processes.most(float(interrupted.is_set())))
        if stop or (stepper.number % stepper.config.save_every_steps == 0 and stepper.number < total):
            stepper.save()
        if stop:
            raise KeyboardInterrupt(f"training stopped after step {stepper.number} of {total}; run again to go on")
    if main and stepper.counts["apart"]:
        notice(
            f"{stepper.loaded.name}: its chat template rewrites history, so the replies of "
            f"{stepper.counts['apart']:.0f} multi-turn rows were trained each behind its own prompt"
        )
    if not stepper.counts["rows"]:
        raise InputError(f"training: no row fits max_length {stepper.limit}; raise it or shorten the rows")


def _result(stepper: Stepper, artifact: Artifact, masks_checked: bool) -> FitResult:
    """What the finished run leaves behind."""
    tail, counts, trainable = stepper.losses, stepper.counts, stepper.trainable
    return FitResult(
        adapter=str(artifact.path), kind=artifact.kind, fingerprint=artifact.fingerprint, steps=stepper.total,
        rows=int(counts["rows"]), labelled_tokens=int(counts["labels"]), loss=sum(tail) / max(1, len(tail)),
        seconds=round(stepper.seconds, 3), n_masked_ends=int(counts["masked"]), n_left_out=int(counts["left_out"]),
        n_cut=int(counts["cut"]), n_apart=int(counts["apart"]),
        n_halvings=int(counts["halvings"]), n_skipped=int(counts["skipped"]), max_length=stepper.limit,
        lora_targets=tuple(trainable.lora_targets), precision=stepper.processes.precision,
        processes=stepper.processes.world, distributed=stepper.processes.kind,
        trainable_parameters=sum(parameter.numel() for parameter in trainable.trained().values()),
        features=trainable.features, masks_checked=masks_checked, trunk=trainable.sharing,
    )  # fmt: skip


def _masks_checked(loaded: Loaded, planner: Planner[R], objective: Objective[R]) -> bool:
    """Our labels against the template's own masks, on the first rows. False when there is nothing to compare."""
    if not isinstance(planner, FixedPlan):
        return False
    first = [planner.rows[i] for i in range(min(8, len(planner.rows)))]
    try:
        samples = [sample for row in first for sample in objective.samples(row)]
    except NotImplementedError:  # rows that are no labelled conversations
        return False
    return check_against_masks(loaded, samples)


def feature_store(
    trainable: Trainable, config: TrainConfig, place: Path | None, given: FeatureStore | None, stack: ExitStack
) -> FeatureStore | None:
    """The feature cache to use; None, and the reason in `trainable.features`, when there can be none. Without a place
    for its file it keeps nothing: features are then shared within a batch only."""
    why = unsupported(bare(trainable)) or _tower_moves(trainable)
    if config.feature_cache_mb == 0 and given is None:
        why = why or "feature_cache_mb is 0"
    if why:
        trainable.unused_store = f"not used: {why}"
        return None
    store = given or FeatureStore(place, config.feature_cache_mb << 20)
    if given is None:
        stack.callback(store.close)
    return store


def _tower_moves(trainable: Trainable) -> str | None:
    """What is trained outside the language model, so that image features change; None when nothing is."""
    if any(isinstance(group, Projector) for group in trainable.groups):
        return "the connector is trained"
    inner = bare(trainable)
    fixed = [inner.get_submodule(language_root(inner)), inner.get_output_embeddings(), trainable.heads]
    inside = {id(p) for module in fixed if module is not None for p in module.parameters()}
    moved = [name for name, p in trainable.named_parameters() if p.requires_grad and id(p) not in inside]
    return f"{moved[0]} is trained" if moved else None


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
