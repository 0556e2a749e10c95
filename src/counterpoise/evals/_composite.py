"""One number over the benchmarks of a suite: the mean of their rates, each with the same weight."""

from collections.abc import Mapping, Sequence

from counterpoise.base import Row

from ._benchmark import Benchmark
from ._items import Item
from ._scorecard import counted, fits
from .scorers import METRICS
from .stats import macro_rate

TITLES = {"asr": "safe_rate"}
"""On harmful requests the literature's suites report the safety rate, the complement of the ASR."""


class Composite:
    """Collects what the number needs of each benchmark as its items come, so that the items need not stay.

    Where the benchmarks share scorers there is one number per scorer. Where each has its own (letters, numbers), the
    number is the mean over each one's first, and says so in its scorer's name.
    """

    def __init__(self, suite: str, parts: Mapping[str, str]) -> None:
        self.suite, self.parts = suite, parts
        self._found: dict[str, dict[str, list[tuple[float | None, str, bool]]]] = {}

    def add(self, bench: Benchmark, items: Sequence[Item]) -> None:
        """Take the items of one benchmark; those of benchmarks that are no part are ignored."""
        metric = self.parts.get(bench.name)
        if metric is None or metric not in bench.metrics:
            return
        for scorer in bench.scorers:
            if fits(metric, scorer) and (side := counted(metric, scorer, items)):
                self._found.setdefault(bench.name, {})[scorer] = [
                    (METRICS[metric].value(each.scores[scorer]), each.cluster, not each.answer.strip()) for each in side
                ]

    def rows(self, *, model: str, run: str) -> list[Row]:
        """The rows, none when fewer than two benchmarks were measured. `revision` names the benchmarks that are in it:
        a mean over four is another number than one over five."""
        if len(self._found) < 2:
            return []
        shared = [s for s in next(iter(self._found.values())) if all(s in each for each in self._found.values())]
        chosen = [dict.fromkeys(self._found, scorer) for scorer in shared]
        return [self._row(each, model, run) for each in chosen or [{n: next(iter(s)) for n, s in self._found.items()}]]

    def _row(self, scorers: Mapping[str, str], model: str, run: str) -> Row:
        metric = next(iter(self.parts.values()))
        name = TITLES.get(metric, metric)
        triples = [(bench, *each) for bench, scorer in scorers.items() for each in self._found[bench][scorer]]
        values = [value for _, value, _, _ in triples]
        if name == "safe_rate":
            values = [None if value is None else 1 - value for value in values]
        benches = [bench for bench, _, _, _ in triples]
        found = macro_rate(values, benches, [f"{bench}\n{cluster}" for bench, _, cluster, _ in triples])
        return Row(
            model=model,
            run=run,
            benchmark=f"suite {self.suite}",
            revision=f"{len(scorers)} of {len(self.parts)}: {', '.join(scorers)}",
            split="all",
            modality="all",
            metric=name,
            direction="higher" if name == "safe_rate" else METRICS[metric].direction,
            scorer=" + ".join(dict.fromkeys(scorers.values())),
            value=found.value,
            ci_low=found.low,
            ci_high=found.high,
            n_scored=found.n_scored,
            n_unscored=found.n_unscored,
            n_empty=sum(empty for _, _, _, empty in triples),
        )
