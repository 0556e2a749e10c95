"""`counterpoise tournament`: several corrections of one model on equal terms. Stopped anywhere, it continues."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from counterpoise.base import Artifact, InputError, launched_processes, only_process, read_json, write_json
from counterpoise.methods import get
from counterpoise.models import read_artifact
from counterpoise.report import EvalFolder
from counterpoise.report.tournament import Arm, outcome, write_tournament

from .._config import RunConfig
from .._grids import check
from .._record import Record
from .._stages import RealStages, Stages
from ._budget import PILOT, dose, rows_of, takes_rows
from ._config import BASE, ArmConfig, TournamentConfig
from ._workers import Job, Task, in_turn, side_by_side

Say = Callable[[str], None]
LOGS = "workers"
PARTS = ("untouched", "arms", "pilot", LOGS, "run.json", "tournament.html", "tournament.md")


def run_tournament(
    config: TournamentConfig, *, jobs: int = 1, force: bool = False, stages: Stages | None = None, say: Say = print
) -> Path:
    """Run or continue a tournament in `config.out`; return its page.

    The untouched model is measured once. Then every arm is trained and measured with the first seed, then with the
    second, and so on; the page is renewed after each seed, so that it shows what there is. Arms and seeds can be added
    later. An arm that fails is set aside with its reason, shown on the page, and tried again by the next start. With
    `jobs` above 1 so many arms are worked on at once, each in a process of its own, on its share of GPUs or cores.

    Raises InputError for settings that a method does not take, for a folder of another tournament, when another
    process works in it, and at the end when no arm could be measured.
    """
    if launched_processes() > 1:
        raise InputError("tournament: measures and trains in turn, in one process")
    for arm in config.arms:
        check(config.run(arm, config.seeds[0], config.out))
    work = stages or RealStages()
    with only_process(config.out):
        record = Record.open(config, lambda: work.weights(config.run(None, 0, config.out)), force=force, parts=PARTS)
        return _Tournament(config, record, work, say).run(jobs)


class _Tournament:
    def __init__(self, config: TournamentConfig, record: Record, work: Stages, say: Say):
        self.config, self.record, self.work, self.say = config, record, work, say
        self.problems: dict[str, str] = {}
        self.page = config.out / "tournament.html"

    def run(self, jobs: int) -> Path:
        if jobs == 1:
            in_turn(self._jobs())
        else:
            self.say(f"{jobs} at once; what each says is in {self.config.out / LOGS}")
            side_by_side(self._jobs(), jobs, self.config.out / LOGS)
        self._write()
        if not self.page.is_file():
            reasons = "; ".join(f"{name}: {why}" for name, why in self.problems.items())
            raise InputError(f"tournament: no arm could be measured ({reasons})")
        return self.page

    def _jobs(self) -> Iterator[Job]:
        yield self._untouched()
        for number, seed in enumerate(self.config.seeds):
            if number:
                self._write()  # what there is of the seeds before
            for arm in self.config.arms:
                yield self._try(arm, seed)

    def _untouched(self) -> Job:
        if not self.record.done(BASE):
            self.say(f"{BASE}: measuring {self.config.model} on suite {self.config.suite}")
            run = self.config.run(None, 0, self.config.out)
            with self.record.stage(BASE):
                yield Task(_evaluate, (self.work, run, self.config.out / BASE, "before", None))

    def _try(self, arm: ArmConfig, seed: int) -> Job:
        """Train and measure one arm with one seed. What the user can mend is kept for the page; the others go on."""
        try:
            made = yield from self._align(arm, seed)
            yield from self._measure(arm, seed, made)
        except InputError as error:
            self.problems[arm.name] = f"seed {seed}: {error}"
            self.say(f"{arm.name}, seed {seed}: left out: {error}")

    def _align(self, arm: ArmConfig, seed: int) -> Generator[Task, Any, Artifact]:
        folder, name = self._folder(arm, seed), f"{arm.name}/seed-{seed}"
        yield from self._timed(arm, seed)
        run, chosen = self.config.run(arm, seed, self.config.out), self._dose(arm)
        settings = self.work.settings(run, chosen).model_dump(mode="json")
        self._same(name, settings)
        if self.record.done(f"{name}/align"):
            return read_artifact(folder / read_json(folder / "trained.json")["artifact"])
        self.say(f"{arm.name}, seed {seed}: training")
        with self.record.stage(f"{name}/align"):
            made: Artifact = yield Task(_train, (self.work, run, folder, chosen))
            write_json(folder / "trained.json", {"artifact": os.path.relpath(made.path, folder)})
            self.record.value.setdefault("settings", {})[name] = settings
        return made

    def _same(self, name: str, settings: dict[str, Any]) -> None:
        known = self.record.value.get("settings", {}).get(name)
        if known is not None and known != settings:
            other = [key for key in settings if known.get(key) != settings[key]]
            raise InputError(
                f"{self.config.out}: {name} was trained with another {', '.join(other)}; give the arm another name, "
                "or --force to start over"
            )

    def _measure(self, arm: ArmConfig, seed: int, made: Artifact) -> Job:
        name = f"{arm.name}/seed-{seed}"
        if self.record.done(f"{name}/eval"):
            return
        self.say(f"{arm.name}, seed {seed}: measuring")
        run = self.config.run(arm, seed, self.config.out)
        with self.record.stage(f"{name}/eval"):
            yield Task(_evaluate, (self.work, run, self._folder(arm, seed) / "eval", name, made))

    def _folder(self, arm: ArmConfig, seed: int) -> Path:
        return self.config.out / "arms" / arm.name / f"seed-{seed}"

    def _dose(self, arm: ArmConfig) -> dict[str, float]:
        method, run = get(arm.method), self.config.run(arm, self.config.seeds[0], self.config.out)
        counted = partial(rows_of, self.work, run, method)
        return dict(dose(method, arm, self.config.budget, lambda: float(self._paces[arm.name]), counted))

    @property
    def _paces(self) -> dict[str, float]:
        """Seconds per row by arm, of those that were timed."""
        found: dict[str, float] = self.record.value.setdefault("seconds_per_row", {})
        return found

    def _timed(self, arm: ArmConfig, seed: int) -> Job:
        """Learn this arm's seconds per row, where the budget needs them and they are not known, from one small training
        on this machine that is thrown away. Of two seeds that do so at once the first one's pace is kept for both."""
        if self.config.budget.minutes is None or not takes_rows(get(arm.method)) or arm.name in self._paces:
            return
        self.say(f"{arm.name}: a trial of {PILOT} rows, for the pace")
        folder, name = self.config.out / "pilot" / f"{arm.name}-{seed}", f"pilot/{arm.name}-{seed}"
        with self.record.stage(name):
            run = self.config.run(arm, self.config.seeds[0], self.config.out)
            yield Task(_train, (self.work, run, folder, {"amount": PILOT}))
        self._paces.setdefault(arm.name, self.record.value["timings"][name] / PILOT)
        shutil.rmtree(folder, ignore_errors=True)
        self.record.save()

    def _write(self) -> None:
        """Renew the page, when at least one arm is measured."""
        arms = [Arm(BASE, folders={0: EvalFolder(self.config.out / BASE)})]
        arms += [self._arm(arm) for arm in self.config.arms]
        if self.record.done(BASE) and any(arm.folders for arm in arms[1:]):
            facts = self.config.identity | {
                "budget": str(self.config.budget),
                "seeds": ", ".join(map(str, self.config.seeds)),
                "weights": self.record.value["weights"],
                "counterpoise": self.record.value["versions"]["counterpoise"],
            }
            write_tournament(self.page, outcome(arms), {k: v for k, v in facts.items() if v is not None})

    def _arm(self, arm: ArmConfig) -> Arm:
        done = [s for s in self.config.seeds if self.record.done(f"{arm.name}/seed-{s}/eval")]
        timings = [self.record.value["timings"][f"{arm.name}/seed-{s}/align"] for s in done]
        method, rows = get(arm.method), None
        if done and method.size is not None and takes_rows(method):
            run = self.config.run(arm, done[0], self.config.out)
            rows = rows_of(self.work, run, method, self._dose(arm))
        words = [arm.words()] if arm.settings else []
        if self.config.budget.rows is not None and not takes_rows(method):
            words.append("the budget does not apply: it has no knob for rows")
        return Arm(
            arm.name,
            arm.method,
            {s: EvalFolder(self._folder(arm, s) / "eval") for s in done},
            rows,
            sum(timings) / len(timings) if timings else None,
            "; ".join(words),
            self.problems.get(arm.name, ""),
        )


def _train(work: Stages, run: RunConfig, folder: Path, chosen: dict[str, float]) -> Artifact:
    return work.align(run, folder, dose=chosen)


def _evaluate(work: Stages, run: RunConfig, out: Path, name: str, made: Artifact | None) -> None:
    work.evaluate(run, out, run=name, artifact=made)
