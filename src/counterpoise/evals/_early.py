"""Evaluate a benchmark in a seeded random order, block by block, until a confidence sequence decides a rule."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from counterpoise.base import InputError
from counterpoise.chat import Sample

from ._benchmark import Benchmark
from ._run import Work, generate
from ._scorecard import on_side
from .scorers import METRICS, Metric, get
from .stats import StopRule, Watch, units

SEED = 0
"""Of the order. Items must come at random: the order of a file may follow topics."""


@dataclass(frozen=True)
class Stop:
    """How the watch over one benchmark ended."""

    rule: str
    scorer: str
    answer: str
    """`met`, `missed`, or `open` when all items were not enough."""
    n: int
    n_planned: int
    low: float
    high: float
    n_unscored: int = 0
    """Of the metric's own items: they decided nothing."""

    @property
    def early(self) -> bool:
        return self.n < self.n_planned

    def __str__(self) -> str:
        left = f", {self.n_unscored} unscored" if self.n_unscored else ""
        interval = f"({self.low:.1%} to {self.high:.1%})"
        return f"{self.rule} {self.answer} after {self.n} of {self.n_planned} items{left} {interval}"


def watched(rule: StopRule, benches: Sequence[Benchmark]) -> set[str]:
    """Names of the benchmarks that report the rule's metric. Raises InputError when none does."""
    watchable = {name for name, metric in METRICS.items() if metric.combine is None}
    found = {each.name for each in benches if rule.metric in each.metrics and rule.metric in watchable}
    if not found:
        known = sorted({metric for each in benches for metric in each.metrics if metric in watchable})
        raise InputError(f"--stop-when: no benchmark here reports {rule.metric}; they report {', '.join(known)}")
    return found


def generate_until(rule: StopRule, work: Work, *, block: int) -> tuple[list[Sample], dict[str, str], Stop]:
    """The samples that were asked (in the order of the benchmark), those that failed, and how it ended.

    The order depends on the samples alone, so a stopped evaluation continues in the same blocks; whole clusters are
    asked, and the mean of a cluster is one observation. The first scorer that reports the metric decides.
    """
    metric = METRICS[rule.metric]
    scorer = next(name for name in work.bench.scorers if metric.fits(get(name)))
    watch, asked, failed, answer = Watch(rule), set[str](), dict[str, str](), None
    n_unscored = 0
    for part in blocks(work.samples, block):
        failed |= generate(work.part(part))
        asked |= {sample.id for sample in part}
        side = [sample for sample in part if on_side(rule.metric, sample.harmful)]
        values = [_value(work, scorer, metric, sample) for sample in side]
        n_unscored += values.count(None)
        answer = watch.add(units(values, [sample.cluster or sample.id for sample in side])) if side else None
        if answer is not None:
            break
    kept = [sample for sample in work.samples if sample.id in asked]
    end = Stop(str(rule), scorer, answer or "open", len(kept), len(work.samples), *watch.interval, n_unscored)
    return kept, failed, end


def blocks(samples: Sequence[Sample], size: int) -> Iterator[list[Sample]]:
    """Whole clusters in a seeded random order, in blocks of at least `size` samples (the last may be smaller)."""
    clusters: dict[str, list[int]] = {}  # places: the samples themselves may be on disk
    for place, sample in enumerate(samples):
        clusters.setdefault(sample.cluster or sample.id, []).append(place)
    names = sorted(clusters)
    random.Random(SEED).shuffle(names)
    block: list[int] = []
    for name in names:
        block += clusters[name]
        if len(block) >= size:
            yield [samples[place] for place in block]
            block = []
    if block:
        yield [samples[place] for place in block]


def _value(work: Work, scorer: str, metric: Metric, sample: Sample) -> float | None:
    found = work.journal.reply(work.key(sample))
    return None if found is None else metric.value(get(scorer)(sample, found).value)
