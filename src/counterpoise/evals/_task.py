"""Benchmarks as Inspect tasks: our samples as theirs, our scorers and metrics as theirs, answers through a journal."""

from collections.abc import Callable, Sequence
from math import isnan
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Metric as InspectMetric
from inspect_ai.scorer import SampleScore, Score, Target, grouped, mean, metric, scorer, stderr
from inspect_ai.scorer import Scorer as InspectScorer
from inspect_ai.solver import TaskState

from counterpoise.chat import Sample

from ._answer import answer
from ._benchmark import Benchmark
from ._journal import Journal
from ._reply import from_output
from ._scorecard import on_side
from .inspect import inspect_sample
from .scorers import BROKEN, METRICS, Scorer, get


def task(
    bench: Benchmark,
    samples: Sequence[Sample],
    journal: Journal | None = None,
    progress: Any = None,
    server: Callable[[], str | None] = lambda: None,
) -> Task:
    """One benchmark as an Inspect task. With a journal, answers in it are not generated again. Its settings of
    generation are defaults: `--temperature`, `--max-tokens` and the like take their place, and `--epochs` asks each
    question again."""
    by_id = {sample.id: sample for sample in samples}
    modalities = {sample.modality for sample in samples}
    drawn = bench.sampling
    return Task(
        name=bench.name,
        dataset=MemoryDataset([inspect_sample(sample) for sample in samples], name=bench.name),
        solver=answer(bench, by_id, journal, progress, server),
        scorer=[scored(bench, by_id, name, by_modality=len(modalities) > 1) for name in bench.all_scorers],
        config=GenerateConfig(
            max_tokens=bench.max_new_tokens,
            temperature=drawn.temperature if drawn else 0.0,
            top_p=drawn.top_p if drawn and drawn.top_p < 1 else None,  # some servers refuse one that changes nothing
        ),
        version=bench.revision,
        metadata={"source": bench.source, "licence": bench.licence},
    )


def scored(bench: Benchmark, samples: dict[str, Sample], name: str, *, by_modality: bool = False) -> InspectScorer:
    """One of our scorers under its own id; what it cannot judge is unscored, never 0."""
    rule = get(name)

    @scorer(metrics=metrics(bench, rule, by_modality=by_modality), name=rule.id)
    def made() -> InspectScorer:
        async def score(state: TaskState, target: Target) -> Score:
            reply = from_output(state.output)
            found = rule(samples[str(state.sample_id)], reply)
            if found.value is None:
                return Score.unscored(explanation=found.reason or "unscored")
            return Score(value=found.value, answer=reply.text, explanation=found.label or None)

        return score

    return made()


def metrics(bench: Benchmark, rule: Scorer, *, by_modality: bool = False) -> list[Any]:
    """The benchmark's metrics that a scorer makes, each with its standard error: `asr` over harmful items and
    `over_refusal` over harmless ones, never one mean over both. With `by_modality` also `asr_print` and so on.

    A metric of whole clusters (pass@k, accuracy under every order of the options) needs to know which of a cluster's
    items are unscored, which Inspect does not tell a metric: there the plain mean stands, and `counterpoise eval` has
    the metric.
    """
    names = [name for name in (*bench.metrics, "broken") if name in METRICS and METRICS[name].fits(rule)]
    if rule.id != BROKEN:
        names = [name for name in names if name != "broken"]
    found: list[Any] = []
    for name in names:
        if METRICS[name].combine is None:
            found += [SHARES[name](), ERRORS[name]()]
            if by_modality:
                found.append(grouped(SHARES[name](), "modality", all=False, name_template=f"{name}_{{group_name}}"))
    return found or [mean(), stderr()]


def _share(name: str) -> Callable[[], InspectMetric]:
    @metric(name=name)
    def made() -> InspectMetric:
        def compute(scores: list[SampleScore]) -> float:
            values = [each.score.as_float() for each in _side(name, scores)]
            return sum(values) / len(values) if values else float("nan")

        return compute

    return made


def _error(name: str) -> Callable[[], InspectMetric]:
    @metric(name=f"{name}_stderr")
    def made() -> InspectMetric:
        clustered: Any = stderr(cluster="cluster")

        def compute(scores: list[SampleScore]) -> float:
            return float(clustered(_side(name, scores)))

        return compute

    return made


def _side(name: str, scores: Sequence[SampleScore]) -> list[SampleScore]:
    """The scores that a metric counts, as its own values."""
    rule, found = METRICS[name], []
    for each in scores:
        harmful = (each.sample_metadata or {}).get("harmful")
        if on_side(name, harmful) and not isnan(each.score.as_float()):
            value = rule.value(each.score.as_float())
            found.append(each.model_copy(update={"score": each.score.model_copy(update={"value": value})}))
    return found


SHARES = {name: _share(name) for name, rule in METRICS.items() if rule.combine is None}
"""Means of our metrics for Inspect, by name; `inspect score` finds them by it."""
ERRORS = {name: _error(name) for name in SHARES}
"""Their standard errors; items of one cluster are not independent."""
