"""What a command would do, with its cost in rows, tokens and time. Nothing is generated or trained."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log2
from pathlib import Path
from typing import Any

from counterpoise.base import clock
from counterpoise.evals import Suite, suite
from counterpoise.evals.stats import (
    StopRule,
    expected_rows,
)
from counterpoise.methods import PROMPT_TOKENS, Method, changed
from counterpoise.models import resolve_dtype

from ._config import RunConfig
from ._grids import check, grids
from ._power import Planned, planned_rows, power_table
from ._stages import RealStages, model_folder, refuse_adapter

SHARES = {
    "bfloat16": {"generate": 0.05, "read": 0.15, "train": 0.15},
    "float32": {"generate": 0.4, "read": 0.8, "train": 0.8},
}
"""Share of a plain matrix product's speed that a model reaches, measured with a 135M model on CPU cores: bfloat16 on
two with AMX, float32 on one without (336 rows of suite smoke in 255 s, 200 rows of rejection-mix in 310 s). On other
machines it is the right order of magnitude at best."""


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
    known: bool = True
    """False where nobody says how much work it is."""

    def times(self, n: int, note: str = "") -> "Stage":
        """`n` of it."""
        work = (n * self.rows, n * self.read, n * self.written, n * self.trained)
        return Stage(self.name, *work, "; ".join(each for each in (note, self.note) if each), self.known)

    def named(self, name: str) -> "Stage":
        return replace(self, name=name)


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
        shares = SHARES["float32" if not self.parameters or resolve_dtype() == "float32" else "bfloat16"]
        lines, total = [self.title, ""], 0.0
        width = max([32, *(len(stage.name) for stage in self.stages)]) + 2
        for stage in self.stages:
            parts = [f"{stage.rows:,} rows", f"{stage.read + stage.written + stage.trained:,} tokens at most"]
            if not stage.known:
                parts = ["unknown"]
            elif speed and self.parameters:
                seconds = _seconds(stage, self.parameters, speed, shares)
                total += seconds
                parts.append(f"about {clock(seconds)}")
            lines.append(f"  {stage.name:<{width}}{', '.join(parts)}{'; ' + stage.note if stage.note else ''}")
        if not self.stages:
            lines.append("  nothing of it can be measured on this machine")
        elif speed:
            more = "" if all(stage.known for stage in self.stages) else "what is known: "
            lines.append(
                f"\n  {more}in all about {clock(total)} on this machine (order of magnitude, from a timed product)"
            )
        else:
            lines.append("\n  time: unknown until the model is on this machine")
        return "\n".join(
            [*lines, *(f"  note: {note}" for note in self.notes), *(f"  {x}".rstrip() for x in self.table)]
        )


def run_plan(config: RunConfig) -> Plan:
    """The plan of `counterpoise run`. Raises InputError for whatever the run itself would refuse at its start."""
    method, work = check(config), RealStages()
    refuse_adapter(config.model, model_folder(config.model))
    chosen = suite(config.suite)
    measured, notes, planned = _measure(chosen.benchmarks, config.limit, config.max_new_tokens, chosen)
    once, after = _sum("measure before", measured), _sum("measure after", measured)
    resolved = work.settings(config, config.dose)
    if config.target:
        searched = grids(config, method, resolved)
        strongest = {grid.knob.name: grid.values[-1] for grid in searched}
        most = ceil(log2(len(searched[0].values) + 1))
        worst = len(searched[0].values) + sum(len(grid.values) - 1 for grid in searched[1:])
        note = f"usually {most} doses of {searched[0].knob.name}; at worst {worst}"
        one = training("dose: trainings", method, work.settings(config, strongest))
        dose = one.times(most, note)
        stages = [once, dose, once.times(most).named("dose: measurements"), after]
    else:
        stages = [once, training(f"align ({method.name})", method, resolved), after]
    title = f"counterpoise run {config.model}: suite {config.suite}, into {config.out}"
    notes += _settings(config, method, resolved)
    return Plan(title, tuple(stages), parameters(config.model), tuple(notes), power_table(planned))


def align_plan(config: RunConfig) -> Plan:
    """The plan of `counterpoise align`. Raises InputError for whatever the command would refuse at its start."""
    method = check(config)
    resolved = RealStages().settings(config, config.dose)
    stage = training(f"align ({method.name})", method, resolved)
    title = f"counterpoise align {config.model}: {method.name}, into {config.out}"
    return Plan(title, (stage,), parameters(config.model), tuple(_settings(config, method, resolved)))


def measured(chosen: Suite, limit: int | None, max_new_tokens: int | None) -> tuple[Stage, list[str]]:
    """One measurement of a suite as one stage, with what there is to say of it."""
    stages, notes, _ = _measure(chosen.benchmarks, limit, max_new_tokens, chosen)
    return _sum("measure", stages), notes


def training(name: str, method: Method, resolved: Any) -> Stage:
    """One training, as large as the method says it is with these settings."""
    if method.size is None:
        return Stage(name, 0, 0, note="the method does not say how much work it is", known=False)
    size = method.size(resolved)
    note = f"{size.epochs:g} epochs" if size.trained else "nothing is trained"
    return Stage(name, size.rows, size.read, size.written, size.trained, note)


def _settings(config: RunConfig, method: Method, resolved: Any) -> list[str]:
    """What differs from the method's defaults, through the model's folder or the user."""
    found: Mapping[str, Any] = changed(resolved)
    parts = ", ".join(f"{name} {value}" for name, value in found.items())
    return [f"settings other than the defaults of {method.name}: {parts}"] if found else []


def eval_plan(
    model: str,
    names: Sequence[str],
    *,
    limit: int | None,
    max_new_tokens: int | None,
    stop: StopRule | None = None,
    batch: int = 64,
    suite: Suite | None = None,
) -> Plan:
    """The plan of `counterpoise eval`, one stage per benchmark, with what its number of items can show."""
    watch = stopped_by(stop, names) if stop else set()
    stages, notes, planned = _measure(names, limit, max_new_tokens, suite)
    if stop is not None:
        notes += [f"{stage.name}: {savings(stop, stage.rows, batch)}" for stage in stages if stage.name in watch]
    return Plan(f"counterpoise eval {model}", tuple(stages), parameters(model), tuple(notes), power_table(planned))


def stopped_by(rule: StopRule, names: Sequence[str]) -> set[str]:
    """Those of the benchmarks that the rule watches, by name as given. Raises InputError when none of them that are
    here (else none at all) reports its metric."""
    from counterpoise.evals import benchmark as find
    from counterpoise.evals import watched

    cards = {name: find(name) for name in dict.fromkeys(names)}
    here = [each for each in cards.values() if not each.available()]
    watch = watched(rule, here or list(cards.values()))
    return {name for name, each in cards.items() if each.name in watch}


def savings(rule: StopRule, n: int, batch: int) -> str:
    """How many items a stop rule is expected to use, by the true rate."""
    clear = 0.0 if rule.at_most else 1.0
    rates = (clear, rule.bound, (rule.bound + 1 - clear) / 2)
    used = [expected_rows(rule, rate, n, block=batch)[0] for rate in rates]
    parts = ", ".join(f"{mean:,.0f} if {rule.metric} is {rate:.0%}" for rate, mean in zip(rates, used, strict=True))
    return f"{rule} uses about {parts} (of {n:,} items)"


def _measure(
    names: Sequence[str], limit: int | None, longest: int | None, suite: Suite | None = None
) -> tuple[list[Stage], list[str], list[Planned]]:
    from counterpoise.evals import benchmark as find
    from counterpoise.evals import too_short

    stages, notes, planned, here = [], [], [], []
    for name in names:
        benchmark = find(name)
        if reason := benchmark.available():
            notes.append(f"{name} is skipped: {reason}")
            continue
        tries = benchmark.sampling.n if benchmark.sampling else 1
        cap = suite.caps.get(name) if suite else None
        most = min(n for n in (benchmark.rows * tries, limit, cap) if n is not None)
        rows, why = benchmark.asked(most)
        note = f"of {benchmark.rows:,}, evenly spread" if cap == most else ""
        notes += [f"{name}: {why}"] if why else []
        if longest is not None:
            benchmark = replace(benchmark, max_new_tokens=longest)
        here.append(benchmark)
        planned += planned_rows(benchmark, min(rows, benchmark.rows))
        written = rows * benchmark.max_new_tokens
        stages.append(Stage(name, rows, rows * PROMPT_TOKENS, written, note=note))
    if line := too_short(here):
        notes.append(line)
    return stages, notes, planned


def _sum(name: str, stages: Sequence[Stage]) -> Stage:
    return Stage(name, sum(s.rows for s in stages), sum(s.read for s in stages), sum(s.written for s in stages))


def parameters(model: str) -> int | None:
    """Number of parameters of a model on this disk, from the size of its weights at two bytes each; None: not here."""
    folder = model_folder(model)
    size = sum(file.stat().st_size for file in Path(folder).glob("*.safetensors")) if folder else 0
    return size // 2 or None


def flops_per_second(seconds: float = 0.3) -> float:
    """Speed of a plain matrix product here, in the dtype in which models are loaded: the quickest of a moment's,
    whatever else the machine is doing."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    square = torch.ones(1024, 1024, dtype=getattr(torch, resolve_dtype()), device=device)
    float((square @ square)[0, 0])  # the first one chooses its code
    best, start = float("inf"), time.perf_counter()
    while (began := time.perf_counter()) - start < seconds:
        float((square @ square)[0, 0])  # reading a value waits for the device
        best = min(best, time.perf_counter() - began)
    return 2 * 1024**3 / best


def _seconds(stage: Stage, size: int, speed: float, shares: Mapping[str, float]) -> float:
    work = 2 * size  # operations per token forward; three times that with the backward pass
    return (
        work * stage.written / (shares["generate"] * speed)
        + work * stage.read / (shares["read"] * speed)
        + 3 * work * stage.trained / (shares["train"] * speed)
    )
