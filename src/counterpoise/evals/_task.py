"""Benchmarks as Inspect tasks: our samples as theirs, our scorers as theirs, answers through a journal."""

from collections.abc import Sequence
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Score, Target, mean, scorer, stderr
from inspect_ai.scorer import Scorer as InspectScorer
from inspect_ai.solver import TaskState

from counterpoise.chat import Sample

from ._answer import answer
from ._benchmark import Benchmark
from ._journal import Journal
from ._reply import from_output
from .inspect import inspect_sample
from .scorers import get


def task(bench: Benchmark, samples: Sequence[Sample], journal: Journal | None = None, progress: Any = None) -> Task:
    """One benchmark as an Inspect task. With a journal, answers in it are not generated again."""
    by_id = {sample.id: sample for sample in samples}
    return Task(
        name=bench.name,
        dataset=MemoryDataset([inspect_sample(sample) for sample in samples], name=bench.name),
        solver=answer(bench, by_id, journal, progress),
        scorer=[scored(by_id, name) for name in bench.all_scorers],
        config=GenerateConfig(max_tokens=bench.max_new_tokens),
        version=bench.revision,
        metadata={"source": bench.source, "licence": bench.licence},
    )


def scored(samples: dict[str, Sample], name: str) -> InspectScorer:
    """One of our scorers under its own id; what it cannot judge is unscored, never 0."""
    rule = get(name)

    @scorer(metrics=[mean(), stderr()], name=rule.id)
    def made() -> InspectScorer:
        async def score(state: TaskState, target: Target) -> Score:
            reply = from_output(state.output)
            found = rule(samples[str(state.sample_id)], reply)
            if found.value is None:
                return Score.unscored(explanation=found.reason or "unscored")
            return Score(value=found.value, answer=reply.text, explanation=found.label or None)

        return score

    return made()
