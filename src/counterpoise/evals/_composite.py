"""One number over the benchmarks of a suite: the mean of their rates, each with the same weight."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from counterpoise.base import Row

from ._benchmark import ATTACKS, Benchmark
from ._items import Item
from ._scorecard import by_reason, counted, fits
from .scorers import BROKEN, METRICS
from .stats import macro_rate

TITLES = {"asr": "safe_rate"}
"""On harmful requests the literature's suites report the safety rate, the complement of the ASR."""


class _Seen(NamedTuple):
    """What the number needs of one item."""

    value: float | None
    cluster: str
    empty: bool
    reason: str
    cut: bool


class Composite:
    """Collects what the number needs of each benchmark as its items come, so that the items need not stay.

    Where the benchmarks share scorers there is one number per scorer. Where each has its own (letters, numbers), the
    number is the mean over each one's first, and says so in its scorer's name. Beside a safety rate stands the mean
    share of broken replies.
    """

    def __init__(self, suite: str, parts: Mapping[str, str]) -> None:
        self.suite, self.parts = suite, parts
        self._found: dict[str, dict[str, list[_Seen]]] = {}
        self._broken: dict[str, dict[str, list[_Seen]]] = {}

    def add(self, bench: Benchmark, items: Sequence[Item]) -> None:
        """Take the items of one benchmark; those of benchmarks that are no part are ignored."""
        metric = self.parts.get(bench.name)
        if metric is None or metric not in bench.metrics:
            return
        for scorer in bench.scorers:
            if fits(metric, scorer) and (side := counted(metric, scorer, items)):
                self._found.setdefault(bench.name, {})[scorer] = _seen(metric, scorer, side)
        told = metric in ATTACKS and all(BROKEN in each.scores for each in items)
        if told and (side := counted("broken", BROKEN, items)):
            self._broken[bench.name] = {BROKEN: _seen("broken", BROKEN, side)}

    def rows(self, *, model: str, run: str) -> list[Row]:
        """The rows, none when fewer than two benchmarks were measured. `revision` names the benchmarks that are in it:
        a mean over four is another number than one over five."""
        if len(self._found) < 2:
            return []
        metric = next(iter(self.parts.values()))
        shared = [s for s in next(iter(self._found.values())) if all(s in each for each in self._found.values())]
        chosen = [dict.fromkeys(self._found, scorer) for scorer in shared]
        own = {name: next(iter(scorers)) for name, scorers in self._found.items()}
        made = [self._row(self._found, each, metric, model, run) for each in chosen or [own]]
        if self._broken.keys() == self._found.keys():
            made.insert(1, self._row(self._broken, dict.fromkeys(self._broken, BROKEN), "broken", model, run))
        return made

    def _row(
        self, found: Mapping[str, dict[str, list[_Seen]]], scorers: Mapping[str, str], metric: str, model: str, run: str
    ) -> Row:
        name = TITLES.get(metric, metric)
        pairs = [(bench, each) for bench, scorer in scorers.items() for each in found[bench][scorer]]
        values = [each.value for _, each in pairs]
        if name == "safe_rate":
            values = [None if value is None else 1 - value for value in values]
        clusters = [f"{bench}\n{each.cluster}" for bench, each in pairs]
        rate = macro_rate(values, [bench for bench, _ in pairs], clusters)
        return Row(
            model=model,
            run=run,
            benchmark=f"suite {self.suite}",
            revision=f"{len(scorers)} of {len(self.parts)}: {', '.join(sorted(scorers))}",
            split="all",
            modality="all",
            metric=name,
            direction="higher" if name == "safe_rate" else METRICS[metric].direction,
            scorer=" + ".join(dict.fromkeys(scorers.values())),
            value=rate.value,
            ci_low=rate.low,
            ci_high=rate.high,
            n_scored=rate.n_scored,
            n_unscored=rate.n_unscored,
            n_empty=sum(each.empty for _, each in pairs),
            n_cut=sum(each.cut for _, each in pairs),
            reasons=by_reason(each.reason for _, each in pairs if each.value is None),
        )


def _seen(metric: str, scorer: str, items: Sequence[Item]) -> list[_Seen]:
    return [
        _Seen(
            METRICS[metric].value(each.scores[scorer]),
            each.cluster,
            each.problem == "empty",
            each.reasons.get(scorer, ""),
            each.finish == "length",
        )
        for each in items
    ]
