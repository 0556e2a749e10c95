"""Tasks of the package `inspect_evals`, unchanged: its rows, prompts and scorers on our engine, with our intervals.

`inspect_evals/TASK` stands where other benchmarks have a name. A prompt is what the task's own solvers ask the model;
an answer is scored by running them again with it, then the task's own scorer. So tasks fit that ask once, without
tools and without a judge; others run in Inspect itself.
"""

import hashlib
import importlib.metadata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from counterpoise.base import InputError, require
from counterpoise.chat import Sample

from .._benchmark import Benchmark
from .._message import one_line
from ..scorers import Score, Scorer, all_scorers, register
from ._replay import asked, elsewhere, judged

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample as InspectSample

PREFIX = "inspect_evals/"
LONGEST = 1024
"""Tokens of an answer where the task sets no limit: most of these tasks ask for reasoning."""
CHECKS = {
    "choice": ("A", (("ANSWER: A", 1.0), ("So it is A.\nANSWER: B", 0.0))),
    "match": ("42", (("ANSWER: 42", 1.0), ("First 42, then\nANSWER: 41", 0.0))),
}
"""Scorers of Inspect that need nothing but the answer: a target, and what they must say of two answers."""


@dataclass(frozen=True)
class _Theirs:
    task: "Task"
    rows: dict[str, "InspectSample"]
    scorer: Any
    scorer_id: str


def load_theirs(name: str) -> Benchmark:
    """The card of `inspect_evals/TASK`. The package itself fetches the rows, at the commit that it pins.

    Raises InputError for a task that is unknown, cannot get its rows, or cannot be measured here;
    MissingPackageError without the package.
    """
    found = _theirs(name)
    samples = [_sample(name, row_id, row, found.task) for row_id, row in found.rows.items()]
    return Benchmark(
        name=name.replace("/", "-"),
        title=f"{name.removeprefix(PREFIX)} of inspect_evals",
        description="""Rows, prompt and scorer of inspect_evals, one greedy answer to each question: the task's own
        repetitions and temperature are left out.""",
        modality="image" if any(sample.modality == "image" for sample in samples) else "text",
        source=name,
        licence="that of the data set, see the task's page in inspect_evals",
        revision=f"inspect_evals {_version()}, task version {found.task.version}",
        rows=len(samples),
        scorers=(found.scorer_id,),
        metrics=("accuracy",),
        read=lambda: iter(samples),
        shots=None,  # the rows come with whatever examples the task puts into them
        max_new_tokens=found.task.config.max_tokens or LONGEST,
        file=name,
    )


def _version() -> str:
    return importlib.metadata.version("inspect_evals")


@cache
def _theirs(name: str) -> _Theirs:
    from inspect_ai.util import registry_info

    registry = require(
        "inspect_evals._registry", purpose=f"the benchmark {name}", install="counterpoise[inspect-evals]"
    )
    wanted = name.removeprefix(PREFIX)
    tasks = [each for each, value in vars(registry).items() if callable(value)]
    if wanted not in tasks:
        raise InputError.unknown("task of inspect_evals", wanted, tasks)
    try:
        task: Task = getattr(registry, wanted)()
    except Exception as error:  # of any of its many packages: no network, a gated set, a missing extra
        raise InputError(f"{name}: inspect_evals cannot make this task: {one_line(str(error))}") from error
    known = {registry_info(each).name.rpartition("/")[2]: each for each in task.scorer or ()}
    kind = next((each for each in known if each in CHECKS), None)
    if kind is None:
        by = ", ".join(known) or "nothing"
        raise elsewhere(name, f"it is scored by {by}, and only {' and '.join(CHECKS)} need no more than the answer")
    rows = {_row_id(row): row for row in task.dataset}
    if len(rows) < len(task.dataset):
        raise InputError(f"{name}: {len(task.dataset) - len(rows)} of {len(task.dataset)} rows repeat another's id")
    # in the order of their ids, because some tasks shuffle without a seed and a limit must take the same rows each time
    return _Theirs(task, dict(sorted(rows.items())), known[kind], _register(kind, known[kind]))


def _row_id(row: "InspectSample") -> str:
    return str(row.id) if row.id is not None else hashlib.sha256(f"{row.input}{row.choices}".encode()).hexdigest()[:16]


def _sample(name: str, row_id: str, row: "InspectSample", task: "Task") -> Sample:
    messages = asked(name, row, task.solver)
    return Sample(
        id=row_id,
        messages=messages,
        target=", ".join([row.target] if isinstance(row.target, str) else row.target),
        modality="image" if any(message.images for message in messages) else "text",
        meta={"task": name},
    )


def _register(kind: str, scorer: Any) -> str:
    """Make a scorer of Inspect one of ours. Its id names its options and the package's version."""
    from inspect_ai._util.registry import registry_params

    options = "".join(f"-{key if value is True else value}" for key, value in registry_params(scorer).items())
    name = f"inspect-{kind}{options}:{_version()}"
    target, checks = CHECKS[kind]

    def score(sample: Sample, answer: str) -> Score:
        if "task" not in sample.meta:
            return _self_check(kind, scorer, sample, answer)
        theirs = _theirs(sample.meta["task"])
        return judged(sample.meta["task"], theirs.rows[sample.id], theirs.task.solver, scorer, answer)

    if name not in all_scorers():
        register(
            Scorer(
                name, "answer", score, official=False, source=f"Inspect's {kind} as inspect_evals {_version()} uses it",
                known_bias="an answer that leaves the form its prompt asks for is wrong", checks=checks,
                targets=(target,) * len(checks),
            )
        )  # fmt: skip
    return name


def _self_check(kind: str, scorer: Any, sample: Sample, answer: str) -> Score:
    from inspect_ai.dataset import Sample as InspectSample
    from inspect_ai.solver import generate, multiple_choice

    row = InspectSample(input="?", choices=list(sample.choices), target=sample.target or "")
    return judged("self-check", row, multiple_choice() if kind == "choice" else generate(), scorer, answer)
