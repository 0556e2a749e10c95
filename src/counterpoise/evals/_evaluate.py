"""Measure one model on a list of benchmarks: Inspect runs, the journal remembers, a folder holds the evidence."""

import dataclasses
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.base import Artifact, InputError, Progress, Row, read_jsonl, save_rows, write_json
from counterpoise.chat import Sample

from ._benchmark import Benchmark, too_short
from ._composite import Composite
from ._early import Stop, generate_until, watched
from ._items import Item
from ._journal import Journal
from ._record import changed_rows, detours_before, record, record_stop
from ._registry import benchmark
from ._run import generate
from ._score import score
from ._spool import Spool
from ._store import keep_images
from ._suites import Suite
from ._target import Target
from ._work import Work
from .stats import StopRule

if TYPE_CHECKING:
    from counterpoise.models import Loaded


@dataclass(frozen=True)
class EvalResult:
    """What an evaluation found; `skipped` names benchmarks that could not run, with the reason."""

    folder: Path
    rows: list[Row]
    skipped: dict[str, str]
    generated: int
    """Answers generated now; the others came from an earlier, stopped evaluation of the same folder."""
    stopped: dict[str, Stop] = field(default_factory=dict)
    """With a stop rule: how each watched benchmark ended."""
    capped: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Benchmarks of which the suite takes a part: (items asked, rows there are)."""
    changed: dict[str, str] = field(default_factory=dict)
    """Benchmarks whose rows are others than when this folder was measured before, in one line each."""
    too_short: str | None = None
    """One line where answers end before a scorer can tell; see `Scorer.tokens`."""

    @cached_property
    def items(self) -> list[Item]:
        """Every answer with its scores, read from `items.jsonl` when first asked for."""
        return [Item.from_json(value) for _, value in read_jsonl(self.folder / "items.jsonl")]


def evaluate(
    model: "str | Loaded | Target",
    names: Sequence[str],
    *,
    out: Path,
    run: str,
    artifact: Artifact | Path | str | None = None,
    adapter: Path | str | None = None,
    limit: int | None = None,
    max_new_tokens: int | None = None,
    batch: int = 64,
    device_map: str | None = None,
    resume: bool = True,
    display: bool = False,
    stop: StopRule | None = None,
    suite: Suite | None = None,
) -> EvalResult:
    """Measure `model` on the benchmarks `names` and write `out`: `scorecard.json`, `items.jsonl`, `images/`, `logs/`,
    `answers.jsonl` and `run.json`.

    Local models run on our engine through Inspect; names of Inspect's own providers (`openai/...`, `vllm/...`) go there
    unchanged. First every answer is generated, then all are scored, so a judge never shares memory with the model.
    An `artifact`, what a correction left, is put on the model (`adapter` is its older name); `device_map` spreads a
    model that is larger than one device (see `load`). A `suite` that the names
    come from caps some benchmarks, and may add one number over them (see `Composite`). With a `stop` rule, benchmarks
    that report its metric are asked in random order and end when it is decided. Stopped anywhere, the same call
    continues without generating an answer twice (`resume=False` starts over). Raises InputError for an unknown
    benchmark, when none has its rows here, for a broken row or image, a model that cannot be loaded, an artifact that
    is not active, or a scorer that fails its self-check.
    """
    start = time.time()
    out = Path(out)
    chosen = [benchmark(name) for name in dict.fromkeys(names)]
    _one_name_each(chosen)
    for each in chosen:
        each.check_scorers()
    skipped = {each.name: reason for each in chosen if (reason := each.available())}
    here = [_with_length(each, max_new_tokens) for each in chosen if each.name not in skipped]
    if not here:
        raise InputError(f"nothing can be measured here: {_first(skipped) or 'no benchmark was named'}")
    limits = {each.name: _smaller(limit, suite.caps.get(each.name) if suite else None) for each in here}
    plans = [(each, _spool(each, limits[each.name], out)) for each in here]
    watch = watched(stop, here) if stop and plans else set()
    made_by = artifact if artifact is not None else adapter
    target = model if isinstance(model, Target) else Target(model, made_by, batch, device_map)
    if not resume:
        (out / "answers.jsonl").unlink(missing_ok=True)
    journal = Journal(out / "answers.jsonl", target.identity)
    times = {"prepare": time.time() - start}
    earlier = detours_before(out / "run.json", target) if resume else {}
    try:
        try:
            start = time.time()
            with Progress("answers", sum(len(samples) for _, samples in plans)) as progress:
                failed, stopped = {}, {}
                for place, (each, samples) in enumerate(plans):
                    work = Work(each, samples, target, journal, out / "logs", progress, display)
                    if stop is None or each.name not in watch:
                        failed[each.name] = generate(work)
                        continue
                    asked, failed[each.name], stopped[each.name] = generate_until(stop, work, block=batch)
                    plans[place] = (each, asked)
            times["generate"] = time.time() - start
        finally:
            journal.close()
            target.close()
        start = time.time()
        planned = {name: end.n_planned for name, end in stopped.items() if end.early}
        composite = Composite(suite.name, suite.composite) if suite else None
        made = score(plans, journal, failed, out, target.name, run, planned, composite)
        times["score"] = time.time() - start
        save_rows(out / "scorecard.json", made)
        facts = record(target, plans, skipped, journal, limit, times, earlier)
        if suite is not None:
            facts["suite"] = {"name": suite.name, "caps": dict(suite.caps)}
        if stop is not None:
            facts["stop"] = {name: asdict(end) for name, end in stopped.items()}
        changed = changed_rows(out / "run.json", facts) if resume else {}
        write_json(out / "run.json", facts)
    except BaseException as error:
        record_stop(out / "run.json", error, target, journal, limit, earlier)
        raise
    shutil.rmtree(out / "samples", ignore_errors=True)
    capped = {
        each.name: (len(samples), each.rows)
        for each, samples in plans
        if suite and each.name in suite.caps and len(samples) < each.rows and each.name not in stopped
    }
    return EvalResult(out, made, skipped, journal.generated, stopped, capped, changed, too_short(here))


def _first(skipped: dict[str, str]) -> str:
    lines = [f"{name}: {reason}" for name, reason in skipped.items()]
    return "; ".join(lines[:1] + ([f"and {len(lines) - 1} more"] if len(lines) > 1 else []))


def _one_name_each(chosen: Sequence[Benchmark]) -> None:
    taken: set[str] = set()
    for each in chosen:
        if each.name in taken:
            raise InputError(f"benchmark {each.name}: two files have this name; rename one")
        taken.add(each.name)


def _smaller(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _spool(each: Benchmark, limit: int | None, out: Path) -> Sequence[Sample]:
    found = each.stream() if limit is None else each.samples(limit)
    return Spool(out / "samples" / f"{each.name}.jsonl", (keep_images(sample, out / "images") for sample in found))


def _with_length(each: Benchmark, longest: int | None) -> Benchmark:
    return each if longest is None else dataclasses.replace(each, max_new_tokens=longest)
