"""The main job: evaluate, align, evaluate again, report. Stopped anywhere, the same command continues."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from counterpoise.base import (
    Artifact,
    InputError,
    Row,
    launched_processes,
    only_process,
    read_json,
    save_rows,
    write_json,
)
from counterpoise.methods import Method
from counterpoise.models import read_artifact
from counterpoise.report import DoseCurve, DosePoint, Estimate, EvalFolder, say_dose, write_report

from ._config import RunConfig
from ._grids import check, grids
from ._record import Record, data_hashes, refuse_foreign
from ._search import Dose, excess, search
from ._stages import RealStages, Stages
from ._target import Limit, estimates, parse_target

Say = Callable[[str], None]


def run_main(config: RunConfig, *, force: bool = False, stages: Stages | None = None, say: Say = print) -> Path:
    """Run or continue the main job in `config.out`; return that folder.

    Without a target the method's published recipe is used; with one the smallest sufficient dose is searched on the
    validation half of the items and confirmed on the test half. The folder then holds `before/`, `after/` (scorecard,
    items, logs), the artifact (`adapter/`, `weights/` or `edit/`), `scorecard.json` (rows of both), `run.json`,
    `report.html`, and `dose.json` with a target. When no dose meets the target the report says so and shows the nearest
    one.

    Raises InputError for settings that the method does not take, when another process works in the folder, and when it
    belongs to another configuration or other weights and `force` is not set.
    """
    if launched_processes() > 1:
        raise InputError("run: measures and trains in turn, in one process; launch `counterpoise align` on several")
    method = check(config)
    limits = parse_target(config.target) if config.target else ()
    refuse_foreign(config.out)  # not even a lock is put there
    with only_process(config.out):
        return _run(config, method, limits, force=force, work=stages or RealStages(), say=say)


def _run(config: RunConfig, method: Method, limits: tuple[Limit, ...], *, force: bool, work: Stages, say: Say) -> Path:
    record = Record.open(config, lambda: work.weights(config), force=force)
    record.keep_settings(work.settings(config, config.dose))
    _measure(config, record, work, say, "before", None)
    record.value["data"] = data_hashes(EvalFolder(config.out / "before"))
    curve = _search(config, method, record, work, say, limits) if limits else None
    artifact = _align(config, record, work, say, curve)
    _measure(config, record, work, say, "after", artifact)
    return _report(config, method, record, work, curve)


def _measure(config: RunConfig, record: Record, work: Stages, say: Say, name: str, artifact: Artifact | None) -> None:
    if record.done(name):
        say(f"{name}: already measured")
        return
    say(f"{name}: measuring {config.model} on suite {config.suite}")
    with record.stage(name):
        work.evaluate(config, config.out / name, run=name, artifact=artifact)


def _align(config: RunConfig, record: Record, work: Stages, say: Say, curve: DoseCurve | None) -> Artifact:
    """Train the published recipe, or take what the chosen (else the nearest) dose left; keep it in the run's folder."""
    if record.done("align"):
        return read_artifact(config.out / record.value["artifact"]["path"])
    with record.stage("align"):
        if curve:
            trained = _trained(_dose_folder(config, (curve.chosen or nearest_dose(curve)).dose))
        else:
            say(f"align: {config.method}")
            trained = work.align(config, config.out / "align", dose=config.dose)
        target = config.out / trained.kind
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(trained.path, target, copy_function=_link_or_copy)
        kept = read_artifact(target)
        record.value["artifact"] = {"kind": kept.kind, "path": target.name, "fingerprint": kept.fingerprint}
    return kept


def _link_or_copy(source: str, target: str) -> str:
    """Tensors of whole models are large, and never changed in place: one copy on the disk is enough where it can be
    linked."""
    if source.endswith(".safetensors"):
        try:
            os.link(os.path.realpath(source), target)
            return target
        except OSError:
            pass
    return shutil.copy2(source, target)


def _search(
    config: RunConfig, method: Method, record: Record, work: Stages, say: Say, limits: tuple[Limit, ...]
) -> DoseCurve:
    base = EvalFolder(config.out / "before")
    chosen_grids = grids(config, method, work.settings(config, config.dose))
    knobs = tuple(grid.knob for grid in chosen_grids)
    start = DosePoint({}, estimates(limits, base, base, "validation"), seed=config.seed)
    estimates(limits, base, base, "test")  # a target without items is said before anything is trained
    trainings = 0

    def measure(dose: Dose) -> dict[str, Estimate]:
        nonlocal trainings
        trainings += 1
        say(f"dose {say_dose(knobs, dose)}: training and measuring")
        return estimates(limits, _dose(config, record, work, dose), base, "validation")

    found = search(chosen_grids, measure, limits)
    confirmed, message = None, found.message + "."
    if found.chosen:
        numbers = estimates(limits, EvalFolder(_dose_folder(config, found.chosen.dose) / "eval"), base, "test")
        confirmed = DosePoint(found.chosen.dose, numbers, "test", config.seed)
        missed = excess(confirmed, limits)
        message += (
            f" The test half does not confirm it: {', '.join(missed)} over the limit there."
            if missed
            else " The test half confirms it."
        )
    if not excess(start, limits):
        message = f"The model meets every target before any training. {message}"
    bounds = {limit.name: limit.bound for limit in limits}
    curve = DoseCurve((start, *found.points), bounds, found.chosen, confirmed, message, trainings, knobs)
    curve.save(config.out / "dose.json")
    say(message)
    return curve


def _dose(config: RunConfig, record: Record, work: Stages, dose: Dose) -> EvalFolder:
    """Train and measure one dose, or read it when an earlier start of this run did."""
    folder = _dose_folder(config, dose)
    if not record.done(f"dose/{folder.name}"):
        with record.stage(f"dose/{folder.name}"):
            made = work.align(config, folder, dose=dose)
            write_json(folder / "trained.json", {"artifact": os.path.relpath(made.path, folder)})
            work.evaluate(config, folder / "eval", run=f"dose-{folder.name}", artifact=made)
    return EvalFolder(folder / "eval")


def _trained(folder: Path) -> Artifact:
    return read_artifact(folder / read_json(folder / "trained.json")["artifact"])


def _dose_folder(config: RunConfig, dose: Mapping[str, float]) -> Path:
    return config.out / "dose" / "_".join(f"{name}-{value!r}" for name, value in dose.items())


def nearest_dose(curve: DoseCurve) -> DosePoint:
    """The trained dose whose worst excess over the targets is smallest."""
    trained = [point for point in curve.points if point.dose]
    return min(trained, key=lambda p: max(p.estimates[name].high - bound for name, bound in curve.targets.items()))


def _report(config: RunConfig, method: Method, record: Record, work: Stages, curve: DoseCurve | None) -> Path:
    before, after = EvalFolder(config.out / "before"), EvalFolder(config.out / "after")
    rows: list[Row] = [*before.rows, *after.rows]
    save_rows(config.out / "scorecard.json", rows)
    value = record.value
    facts = {name: config.identity[name] for name in ("model", "suite", "method", "seed", "target")}
    facts = {name: fact for name, fact in facts.items() if fact is not None}
    if curve:
        value["knobs"] = dict((curve.chosen or nearest_dose(curve)).dose)
    else:
        value["knobs"] = method.dose(work.settings(config, config.dose))
    if value["knobs"]:
        facts["dose"] = say_dose(method.knobs, value["knobs"]) + (" (nearest)" if curve and not curve.chosen else "")
    write_report(config.out / "report.html", before, after, curve, facts | value)
    record.save()
    return config.out
