"""The main job: evaluate, align, evaluate again, report. Stopped anywhere, the same command continues."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from counterpoise.base import Row, read_json, save_rows, write_json
from counterpoise.report import DoseCurve, DosePoint, Estimate, EvalFolder, write_report

from ._config import RunConfig
from ._dose import Search, excess, search
from ._measure import estimates
from ._record import Record, data_hashes
from ._steps import RealSteps, Steps
from ._target import Limit, parse_target

Say = Callable[[str], None]


def run_main(config: RunConfig, *, force: bool = False, steps: Steps | None = None, say: Say = print) -> Path:
    """Run or continue the main job in `config.out`; return that folder.

    Without a target the method's published recipe is used; with one the smallest sufficient dose is searched on the
    validation half of the items and confirmed on the test half. The folder then holds `before/`, `after/` (scorecard,
    items, logs), `adapter/`, `scorecard.json` (rows of both), `run.json`, `report.html`, and `dose.json` with a target.
    When no dose meets the target the report says so and shows the nearest one.

    Raises InputError when the folder belongs to another configuration or other weights and `force` is not set.
    """
    work = steps or RealSteps()
    limits = parse_target(config.target) if config.target else ()
    record = Record.open(config, lambda: work.weights(config), force=force)
    _measure(config, record, work, say, "before", None)
    record.value["data"] = data_hashes(EvalFolder(config.out / "before"))
    curve = _search(config, record, work, say, limits) if limits else None
    adapter = _align(config, record, work, say, curve)
    _measure(config, record, work, say, "after", adapter)
    return _report(config, record, curve, limits)


def _measure(config: RunConfig, record: Record, work: Steps, say: Say, name: str, adapter: Path | None) -> None:
    if record.done(name):
        say(f"{name}: already measured")
        return
    say(f"{name}: measuring {config.model} on suite {config.suite}")
    with record.stage(name):
        work.evaluate(config, config.out / name, run=name, adapter=adapter)


def _align(config: RunConfig, record: Record, work: Steps, say: Say, curve: DoseCurve | None) -> Path:
    """Train the published recipe, or take the adapter of the chosen (else the nearest) dose; copy it to adapter/."""
    target = config.out / "adapter"
    if record.done("align"):
        return target
    with record.stage("align"):
        if curve:
            point = curve.chosen or nearest_dose(curve)
            folder = _dose_folder(config, point.fraction, point.amount)
            trained = folder / read_json(folder / "trained.json")["adapter"]
        else:
            say(f"align: {config.method}")
            trained = work.align(config, config.out / "align", fraction=config.fraction, amount=config.amount)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(trained, target)
    return target


def _search(config: RunConfig, record: Record, work: Steps, say: Say, limits: tuple[Limit, ...]) -> DoseCurve:
    base = EvalFolder(config.out / "before")
    trainings = 0

    def measure(fraction: float, amount: int) -> dict[str, Estimate]:
        nonlocal trainings
        trainings += 1
        say(f"dose {fraction:.1%} of {amount:,} rows: training and measuring")
        return estimates(limits, _dose(config, record, work, fraction, amount), base, "validation")

    amounts = config.amounts or (config.amount or work.amount(config),)
    found: Search = search(config.fractions, amounts, measure, limits)
    start = DosePoint(0.0, 0, estimates(limits, base, base, "validation"), seed=config.seed)
    confirmed, message = None, found.message + "."
    if found.chosen:
        folder = EvalFolder(_dose_folder(config, found.chosen.fraction, found.chosen.amount) / "eval")
        numbers = estimates(limits, folder, base, "test")
        confirmed = DosePoint(found.chosen.fraction, found.chosen.amount, numbers, "test", config.seed)
        missed = excess(confirmed, limits)
        message += (
            f" The test half does not confirm it: {', '.join(missed)} over the limit there."
            if missed
            else " The test half confirms it."
        )
    if not excess(start, limits):
        message = f"The model meets every target before any training. {message}"
    bounds = {limit.name: limit.bound for limit in limits}
    curve = DoseCurve((start, *found.points), bounds, found.chosen, confirmed, message, trainings)
    curve.save(config.out / "dose.json")
    say(message)
    return curve


def _dose(config: RunConfig, record: Record, work: Steps, fraction: float, amount: int) -> EvalFolder:
    """Train and measure one dose, or read it when an earlier start of this run did."""
    folder = _dose_folder(config, fraction, amount)
    if not record.done(f"dose/{folder.name}"):
        with record.stage(f"dose/{folder.name}"):
            adapter = work.align(config, folder, fraction=fraction, amount=amount)
            write_json(folder / "trained.json", {"adapter": os.path.relpath(adapter, folder)})
            work.evaluate(config, folder / "eval", run=f"dose-{folder.name}", adapter=adapter)
    return EvalFolder(folder / "eval")


def _dose_folder(config: RunConfig, fraction: float, amount: int) -> Path:
    return config.out / "dose" / f"{fraction:.4f}-{amount}"


def nearest_dose(curve: DoseCurve) -> DosePoint:
    """The trained dose whose worst excess over the targets is smallest."""
    trained = [point for point in curve.points if point.amount]
    return min(trained, key=lambda p: max(p.estimates[name].high - bound for name, bound in curve.targets.items()))


def _report(config: RunConfig, record: Record, curve: DoseCurve | None, limits: tuple[Limit, ...]) -> Path:
    before, after = EvalFolder(config.out / "before"), EvalFolder(config.out / "after")
    rows: list[Row] = [*before.rows, *after.rows]
    save_rows(config.out / "scorecard.json", rows)
    value = record.value
    facts = {name: config.identity[name] for name in ("model", "suite", "method", "seed", "target")}
    facts = {name: fact for name, fact in facts.items() if fact is not None}
    if limits and curve:
        chosen = curve.chosen or nearest_dose(curve)
        facts["dose"] = f"{chosen.fraction:.1%} of {chosen.amount:,} rows" + ("" if curve.chosen else " (nearest)")
    write_report(config.out / "report.html", before, after, curve, facts | value)
    record.save()
    return config.out
