"""One optimizer step after another, on rows from anywhere.

`fit` drives a Stepper through a plan. A loop of its own (several objectives on one backbone, a multiplier that follows
the rollouts) drives it itself:

    with training(loaded, config, out, total=100, run=digest((config, data))) as stepper:
        while stepper.number < stepper.total:
            with stepper.generating() as engine:
                rollouts = judge(engine.generate(prompts), ...)
            stepper.step(critic, stepper.encode(critic, rollouts), advance=False)
            stepper.step(actor, stepper.encode(actor, rollouts))
            stepper.save()
        artifact = stepper.artifact()
"""

import gc
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch

from counterpoise.base import Artifact, InputError
from counterpoise.models import Engine, out_of_memory

from . import _checkpoint as checkpoint
from ._artifact import save_artifact
from ._config import TrainConfig
from ._distributed import Processes, fill, full
from ._encode import Tokens, length_limit, pad
from ._objective import Objective
from ._plan import Encoded, encode_rows
from ._schedule import learning_rate, micro_batches
from ._trainable import Trainable

R = TypeVar("R")
MAX_SKIPPED = 20  # float16 steps in a row; a scaler that starts at 2^16 needs far fewer to find its place
COUNTED = ("rows", "labels", "masked", "left_out", "apart", "cut")
"""Sums of a step that are also added up over the run."""


class Stepper:
    """Steps of one training: gradients of all micro-batches, clipping, the optimizer, the checkpoint."""

    def __init__(
        self, trainable: Trainable, config: TrainConfig, processes: Processes, total: int, out: Path, run: str
    ):
        self.trainable, self.config, self.processes, self.total = trainable, config, processes, total
        self.out, self.run = out, run
        self.loaded = trainable.loaded
        self.limit = length_limit(self.loaded, config.max_length)
        self.number = 0
        """Optimizer steps done."""
        self.micro_tokens = config.micro_batch_tokens
        self.counts: dict[str, float] = dict.fromkeys((*COUNTED, "halvings", "skipped", "seconds"), 0.0)
        self.extra: dict[str, Any] = {}
        """Plain values and tensors of a loop of its own; saved and restored with the weights."""
        self.losses: list[float] = []
        """Of the latest steps, a tenth of the run's; saved and restored with the weights."""
        self._began, self._skipped_in_row = time.monotonic(), 0
        self._spare: tuple[Tokens, ...] | None = None
        if processes.sharded:
            trainable.prepare_sharding()
        groups = trainable.parameter_groups()
        optimizer = torch.optim.AdamW([{k: v for k, v in g.items() if k != "peak"} for g in groups], lr=0.0)
        self._peaks = [group["peak"] for group in groups]
        plain = len(trainable.loras) == len(trainable.groups) == 1
        self._module, self.optimizer = processes.prepare(
            trainable.train(), optimizer, clip=config.max_grad_norm, unused=not plain
        )
        self._parameters = trainable.trained()  # after preparation: sharding replaces parameters

    def encode(self, objective: Objective[R], rows: Iterable[R]) -> Encoded:
        """Rows as `step` takes them."""
        return encode_rows(self.loaded, objective, rows, self.limit)

    def step(self, objective: Objective[Any], encoded: Encoded, *, advance: bool = True) -> dict[str, float]:
        """One optimizer step on this process's rows; returns what its line of metrics says, over all processes.

        The loss is its sum over all micro-batches and processes divided by their units, so that neither the size of
        micro-batches nor the number of processes changes the result. With `advance=False` the schedule stays where it
        is: several objectives then make one step together. Parameters that the objective does not use are not touched.

        Raises InputError when the loss is no number, or memory does not suffice for one row.
        """
        started = time.monotonic()
        rates = self._set_rates()
        sums = self._halving(objective, encoded)
        units = sums.pop("units")
        line = {"loss": 0.0, "learning_rate": rates[0], "grad_norm": 0.0}
        if units:
            own = list(self._parameters.values())
            norm, taken = self.processes.update(self.optimizer, own, self.config.max_grad_norm)
            self._check(sums["loss"], norm, taken)
            metrics = {k: v / units for k, v in sums.items() if k not in ("loss", "tokens", *COUNTED)}
            line = {"loss": sums["loss"] / units, "learning_rate": rates[0], "grad_norm": norm} | metrics
        for name in COUNTED:
            self.counts[name] += sums[name]
        if self.trainable.trunk is not None and not self.trainable.trunk.lasting:
            self.trainable.trunk.clear()
        if advance:
            self.number += 1
            self.losses = [*self.losses, line["loss"]][-max(1, self.total // 10) :]
        return line | {
            "labels": int(sums["labels"]), "tokens": int(sums["tokens"]), "rows": int(sums["rows"]),
            "seconds": round(time.monotonic() - started, 4),
        }  # fmt: skip

    @contextmanager
    def generating(self) -> Iterator[Engine]:
        """An engine on the weights as they are now: adapter on, evaluation mode, random numbers seeded from the step
        and put back afterwards. Use its `generate` and scores, not `submit`: precision holds in this thread only.

        Raises InputError when weights are sharded, since processes generate different lengths.
        """
        if self.processes.sharded:
            raise InputError("rollouts need the whole model in every process: use DDP or ZeRO-2 instead of sharding")
        was_training = self.trainable.training
        with torch.random.fork_rng(), self.precision():
            self._seed(1)
            self.trainable.eval()
            try:
                yield Engine(self.loaded)
            finally:
                self.trainable.train(was_training)

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Around forward passes of a loop of its own: the precision in which `step` computes."""
        with self._no_detour(), self.processes.autocast():
            yield

    def pieces(self, sizes: Sequence[int]) -> list[list[int]]:
        """Places of rows of so many tokens, split as `step` splits them into micro-batches, for a loop's own passes."""
        return micro_batches(sizes, self.micro_tokens, self.processes.device.type)

    def save(self) -> None:
        """Write the checkpoint. All processes must call it; the main one writes."""
        if self.processes.deepspeed:
            place = str(self.out / "checkpoint" / "deepspeed")
            self.processes.accelerator.save_state(place, exclude_frozen_parameters=True)
        optimizer = {} if self.processes.deepspeed else self._optimizer_state()
        values = {} if self.processes.deepspeed else {name: full(p) for name, p in self._parameters.items()}
        scaler = self.processes.accelerator.scaler
        if self.processes.main:
            counts = self.counts | {"seconds": self.seconds}
            state = checkpoint.State(
                self.run, self.number, values, optimizer, counts, scaler.state_dict() if scaler else {}, self.extra,
                self.losses,
            )  # fmt: skip
            checkpoint.save(self.out / "checkpoint" / "state.pt", state)
        self.processes.wait()

    def restore(self) -> None:
        """Go on from the checkpoint, if there is one. Raises InputError when it is another run's or damaged."""
        state = checkpoint.load(self.out / "checkpoint" / "state.pt", self.run)
        self.processes.same(str(state.step if state else 0), "checkpoints")
        if state is None:
            return
        if self.processes.deepspeed:
            self.processes.accelerator.load_state(str(self.out / "checkpoint" / "deepspeed"), load_module_strict=False)
        else:
            for name, parameter in self._parameters.items():
                fill(parameter, state.parameters[name])
            self._load_optimizer(state.optimizer)
        if self.processes.accelerator.scaler is not None and state.scaler:
            self.processes.accelerator.scaler.load_state_dict(state.scaler)
        self.number, self.counts, self.extra = state.step, dict(state.counts), state.extra
        self.losses = list(state.losses)

    def values(self) -> dict[str, torch.Tensor]:
        """Name -> full value, on the CPU, of all that is trained. All processes must call it."""
        return {name: full(parameter) for name, parameter in self._parameters.items()}

    def artifact(self) -> Artifact:
        """Write what was trained (see `save_artifact`). All processes must call it."""
        self.processes.wait()
        return save_artifact(self.trainable, self.values(), self.out, self.processes)

    @property
    def seconds(self) -> float:
        return self.counts["seconds"] + time.monotonic() - self._began

    # the parts of a step

    def _set_rates(self) -> list[float]:
        config = self.config
        rates = [
            learning_rate(
                self.number, self.total, peak=peak, warmup_ratio=config.warmup_ratio, schedule=config.schedule
            )
            for peak in self._peaks
        ]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        return rates

    def _seed(self, purpose: int = 0) -> None:
        """Random numbers follow from seed, step and process alone, so that a resumed run draws the same."""
        place = self.number * self.processes.world + self.processes.rank
        torch.manual_seed((self.config.seed * 1_000_003 + place) * 2 + purpose)

    def _halving(self, objective: Objective[Any], encoded: Encoded) -> dict[str, float]:
        """Gradients of the step; from the start again with half the tokens at once when memory runs out."""
        while True:
            sizes = [objective.size(row) for row in encoded.rows]
            micro = self.pieces(sizes)
            try:
                return self._gradients(objective, encoded, micro)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                most = max(map(len, micro), default=0)
                if self.processes.world > 1:  # the others wait inside an exchange that this one never joins
                    raise InputError(
                        f"training: out of memory in process {self.processes.rank} with {self.micro_tokens} tokens at "
                        "once; lower micro_batch_tokens, or switch gradient_checkpointing on"
                    ) from error
                if most <= 1:
                    largest = max(sizes)
                    raise InputError(
                        f"training row {encoded.ids[sizes.index(largest)]}: out of memory on {self.processes.device} "
                        f"with a single row of {largest} tokens; set max_length, or switch gradient_checkpointing on"
                    ) from error
                longest = max(len(places) * max(sizes[p] for p in places) for places in micro)
                self.micro_tokens = max(1, min(self.micro_tokens, longest) // 2)
            # behind the except block, so that the failed pass's tensors are free
            self.optimizer.zero_grad()
            gc.collect()
            if self.processes.device.type == "cuda":
                torch.cuda.empty_cache()
            self.counts["halvings"] += 1

    def _gradients(self, objective: Objective[Any], encoded: Encoded, micro: list[list[int]]) -> dict[str, float]:
        """Forward and backward of all micro-batches; the sums of what the loss reports, over all processes."""
        processes, rows = self.processes, encoded.rows
        counts = [objective.count(row) for row in rows]
        units = processes.total({"units": float(sum(counts))})["units"]
        rounds = int(processes.most(len(micro)))
        work: list[tuple[Sequence[tuple[Tokens, ...]], Sequence[str], int, float]] = [
            ([rows[p] for p in places], [encoded.ids[p] for p in places], sum(counts[p] for p in places), 1.0)
            for places in micro
        ]
        if rows:
            self._spare = rows[0]
        if rounds > len(work) and self._spare is None:
            raise InputError("training: a process got no rows in its first step; use a larger batch_size")
        # every process computes equally often, since gradients are exchanged together
        work += [([self._spare], ["-"], 0, 0.0)] * (rounds - len(work)) if self._spare else []
        sums: dict[str, float] = dict.fromkeys(("loss", "units", "tokens", *COUNTED), 0.0)
        sums |= {"left_out": float(len(encoded.left_out))}
        self._seed()
        with self._role(objective), self._no_detour():
            for place, (some, ids, count, weight) in enumerate(work if units else []):
                batch = pad(self.loaded, some, ids, once=self.trainable.store is not None).to(processes.device)
                with processes.accumulate(self._module, last=place == len(work) - 1):
                    with processes.autocast():
                        result = self._module(objective, batch)
                    processes.accelerator.backward(result.loss * (weight * processes.world / units))
                if weight and result.n != count:
                    raise RuntimeError(
                        f"{type(objective).__name__}: its loss counted {result.n} units, its rows have {count}"
                    )
                seen = {
                    "loss": float(result.loss.detach()), "units": float(result.n), "rows": float(len(some)),
                    "labels": float(sum(tokens.n_labels for row in some for tokens in row)),
                    "tokens": float(batch.inputs["attention_mask"].sum()), "masked": float(batch.n_masked_ends),
                    "apart": float(sum(tokens.n_apart for row in some for tokens in row)),
                    "cut": float(sum(any(tokens.cut for tokens in row) for row in some)),
                    **result.metrics,
                }  # fmt: skip
                for name, value in seen.items():
                    sums[name] = sums.get(name, 0.0) + weight * value
        return processes.total(sums)

    def _check(self, loss: float, norm: float, taken: bool) -> None:
        scaled = self.processes.accelerator.scaler is not None or self.processes.deepspeed
        if not math.isfinite(loss) or (not scaled and not math.isfinite(norm)):
            raise InputError(f"training: loss is not a number at step {self.number + 1}; lower learning_rate")
        self._skipped_in_row = 0 if taken else self._skipped_in_row + 1
        self.counts["skipped"] += not taken
        if self._skipped_in_row > MAX_SKIPPED:
            raise InputError(
                f"training: gradients overflowed in float16 {MAX_SKIPPED} times in a row at step {self.number + 1}; "
                "load the model in bfloat16 or float32"
            )

    def _role(self, objective: Objective[Any]) -> Any:
        return self.trainable.using(objective.role) if objective.role is not None else nullcontext()

    def _no_detour(self) -> Any:
        """Under autocast, PEFT turns a layer's bf16 input into the factors' fp32 and autocast turns it back: two copies
        of every activation, forward and backward, and the same numbers. Left out, that is."""
        from peft.helpers import disable_input_dtype_casting

        return disable_input_dtype_casting(self.trainable.model, active=self.processes.precision != "fp32")

    def _optimizer_state(self) -> dict[str, Any]:
        state = self.optimizer.state_dict()
        values = {
            number: {k: full(v) if isinstance(v, torch.Tensor) else v for k, v in entry.items()}
            for number, entry in state["state"].items()
        }
        return {"state": values, "param_groups": state["param_groups"]}

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        """Full tensors into the optimizer; those of sharded parameters are cut first."""
        own = [p for group in self.optimizer.param_groups for p in group["params"]]
        for number, entry in state["state"].items():
            for name, value in entry.items():
                if isinstance(value, torch.Tensor) and value.shape == own[number].shape and value.dim():
                    entry[name] = torch.zeros_like(own[number], dtype=value.dtype)
                    fill(entry[name], value)
        self.optimizer.load_state_dict(state)
