"""Measure one model on a list of benchmarks: Inspect runs, the journal remembers, a folder holds the evidence."""

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.base import Artifact, InputError, Progress, Row, only_process, read_jsonl, save_rows, write_json
from counterpoise.chat import Sample
from counterpoise.data import data_root

from ._benchmark import Benchmark, rounded, too_short
from ._composite import Composite
from ._early import Stop, generate_until, watched
from ._folder import asked_for, refuse_other
from ._items import Item
from ._journal import Journal
from ._record import changed_rows, detours_before, record, record_stop, recorded_commits
from ._registry import benchmark
from ._run import Work, generate
from ._score import score
from ._spool import Spool
from ._store import Logs, keep_images
from ._suites import Suite
from ._target import Target
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
    rounded: dict[str, str] = field(default_factory=dict)
    """Benchmarks of which more than `limit` items are asked, with why, in one line each."""
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
    names: Sequence[str | Benchmark],
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
    force: bool = False,
    display: bool = False,
    stop: StopRule | None = None,
    suite: Suite | None = None,
    bare: bool = False,
) -> EvalResult:
    """Measure `model` on the benchmarks `names` (a card that nobody registered stands for itself) and write `out`:
    `scorecard.json`, `items.jsonl`, `images/`, `logs/`, `answers.jsonl` and `run.json`.

    Local models run on our engine through Inspect; names of Inspect's own providers (`openai/...`, `vllm/...`) go there
    unchanged. First every answer is generated, then all are scored, so a judge never shares memory with the model.
    An `artifact`, what a correction left, is put on the model (`adapter` is its older name); `device_map` spreads a
    model that is larger than one device (see `load`); `bare` leaves out the system text that a correction serves with.
    A `suite` that the names come from caps some benchmarks, and may add one number over them (see `Composite`). With a
    `stop` rule, benchmarks that report its metric are asked in random order and end when it is decided. Stopped
    anywhere, the same call continues without generating an answer twice (`resume=False` starts over). Results of
    another model or other settings are never replaced without `force`, and one process at a time works in a folder.

    Raises InputError for an unknown benchmark, when none has its rows here, for a broken row or image, a model that
    cannot be loaded, an artifact that is not active, a scorer that fails its self-check, a folder that holds other
    results or in which another process works.
    """
    out = Path(out)
    chosen = [benchmark(each) if isinstance(each, str) else each for each in dict.fromkeys(names)]
    _one_name_each(chosen)
    for each in chosen:
        each.check_scorers()
    skipped = {each.name: reason for each in chosen if (reason := each.available())}
    here = [_with_length(each, max_new_tokens) for each in chosen if each.name not in skipped]
    if not here:
        raise InputError(f"nothing can be measured here: {_first(skipped) or 'no benchmark was named'}")
    limits = {each.name: _smaller(limit, suite.caps.get(each.name) if suite else None) for each in here}
    watch = watched(stop, here) if stop else set()
    commits = recorded_commits(data_root(), here)
    plans = [(each, limits[each.name]) for each in here]
    asked = asked_for(plans, limit, suite.name if suite else None, str(stop) if stop else None)
    with only_process(out):
        start = time.time()
        if resume and not force:  # before anything is read and loaded
            refuse_other(out, asked, None, force=False)
        spools = [(each, _spool(each, most, out)) for each, most in plans]
        made_by = artifact if artifact is not None else adapter
        sizes = {each.name: (limits[each.name] or len(samples), len(samples)) for each, samples in spools}
        more = {name: line for name, (most, n) in sizes.items() if (line := rounded(most, n))}
        target = model if isinstance(model, Target) else Target(model, made_by, batch, device_map, bare)
        try:
            if resume:
                refuse_other(out, asked, target, force=force)
            else:
                (out / "answers.jsonl").unlink(missing_ok=True)
            job = _Job(
                out, run, spools, target, asked, stop, watch, batch, suite, skipped, resume, display, too_short(here),
                commits,
            )  # fmt: skip
            return dataclasses.replace(job.done(start), rounded=more)
        finally:
            target.close()


@dataclass
class _Job:
    """What is left of an evaluation once its rows are read and its model is ready."""

    out: Path
    run: str
    plans: list[tuple[Benchmark, Sequence[Sample]]]
    target: Target
    asked: Mapping[str, Any]
    stop: StopRule | None
    watch: set[str]
    batch: int
    suite: Suite | None
    skipped: dict[str, str]
    resume: bool
    display: bool
    too_short: str | None
    commits: Mapping[str, str]
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    stopped: dict[str, Stop] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)

    def done(self, start: float) -> EvalResult:
        """Generate, score, write. `start` is when preparing began. What stops it is recorded, and raised."""
        file = self.out / "run.json"
        journal = Journal(self.out / "answers.jsonl", self.target.identity)
        earlier = detours_before(file, self.target) if self.resume else {}
        self.times["prepare"] = time.time() - start
        try:
            self._generate(journal)
            made = self._score(journal)
            facts = record(self.target, self.plans, self.skipped, journal, self.asked, self.times, earlier)
            facts["data_commits"] = dict(self.commits)
            if self.suite is not None:
                facts["suite"] = {"name": self.suite.name, "caps": dict(self.suite.caps)}
            if self.stop is not None:
                facts["stop"] = {name: asdict(end) for name, end in self.stopped.items()}
            changed = changed_rows(file, facts) if self.resume else {}
            write_json(file, facts)
        except BaseException as error:
            record_stop(file, error, self.target, journal, self.asked, earlier)
            raise
        shutil.rmtree(self.out / "samples", ignore_errors=True)
        capped = self._capped()
        return EvalResult(
            self.out, made, self.skipped, journal.generated, self.stopped, capped, changed=changed,
            too_short=self.too_short,
        )  # fmt: skip

    def _generate(self, journal: Journal) -> None:
        start = time.time()
        logs = Logs(self.out / "logs")
        try:
            with Progress("answers", sum(len(samples) for _, samples in self.plans)) as progress:
                for place, (each, samples) in enumerate(self.plans):
                    work = Work(each, samples, self.target, journal, logs, progress, self.display)
                    if self.stop is None or each.name not in self.watch:
                        self.failed[each.name] = generate(work)
                        continue
                    asked, self.failed[each.name], self.stopped[each.name] = generate_until(
                        self.stop, work, block=self.batch
                    )
                    self.plans[place] = (each, asked)
        finally:
            journal.close()
            self.target.close()
        self.times["generate"] = time.time() - start

    def _score(self, journal: Journal) -> list[Row]:
        start = time.time()
        planned = {name: end.n_planned for name, end in self.stopped.items() if end.early}
        composite = Composite(self.suite.name, self.suite.composite) if self.suite else None
        made = score(self.plans, journal, self.failed, self.out, self.target.name, self.run, planned, composite)
        save_rows(self.out / "scorecard.json", made)
        self.times["score"] = time.time() - start
        return made

    def _capped(self) -> dict[str, tuple[int, int]]:
        return {
            each.name: (len(samples), each.rows)
            for each, samples in self.plans
            if self.suite
            and self.asked["benchmarks"][each.name]["limit"] == self.suite.caps.get(each.name)
            and each.name in self.suite.caps
            and len(samples) < each.rows
            and each.name not in self.stopped
        }


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
