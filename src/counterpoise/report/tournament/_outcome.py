"""Who is better than whom: rates over items and seeds, a matrix of paired tests, and ranks as intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from counterpoise.base import InputError
from counterpoise.evals.stats import Seeded, SeededDifference, holm, seeded_difference, seeded_rate

from .._change import LEVEL
from ._arms import Arm, Measure, Unit, check_same, measures


class Duel(NamedTuple):
    """Two arms on one measure. `difference` is second minus first; None: too little is scored on both sides."""

    measure: Measure
    first: str
    second: str
    difference: SeededDifference | None
    p_adjusted: float | None
    """Holm over all pairs of arms on this measure."""

    @property
    def winner(self) -> str:
        """The better arm, where the adjusted p is below 5 % and the interval excludes zero; else nothing."""
        found = self.difference
        if found is None or self.p_adjusted is None or self.p_adjusted >= LEVEL or found.low <= 0 <= found.high:
            return ""
        return self.second if (found.value > 0) == (self.measure.direction == "higher") else self.first


class Span(NamedTuple):
    """Places that an arm may hold on one measure: 1 plus the number of arms that are better for certain, up to all
    but those that are worse for certain."""

    low: int
    high: int


@dataclass(frozen=True)
class Outcome:
    """All that a page of a tournament shows. Arms that could not be measured are in none of the tables."""

    arms: tuple[Arm, ...]
    measures: tuple[Measure, ...]
    rates: dict[tuple[str, Measure], Seeded]
    duels: tuple[Duel, ...]
    spans: dict[tuple[str, Measure], Span]

    @property
    def measured(self) -> list[Arm]:
        return [arm for arm in self.arms if arm.folders]

    def duel(self, measure: Measure, a: str, b: str) -> Duel:
        return next(d for d in self.duels if d.measure == measure and {d.first, d.second} == {a, b})

    def front(self, across: Measure, up: Measure) -> set[str]:
        """Arms that no other one beats: none is certainly better on one of the two measures and by its value at least
        as good on the other."""
        return {arm.name for arm in self.measured if not any(self._beats(x.name, arm.name, across, up)
                                                             for x in self.measured if x is not arm)}  # fmt: skip

    def _beats(self, winner: str, loser: str, across: Measure, up: Measure) -> bool:
        won = [self.duel(measure, winner, loser).winner == winner for measure in (across, up)]
        as_good = [self._badness(winner, m) <= self._badness(loser, m) + 1e-12 for m in (across, up)]
        return (won[0] and as_good[1]) or (won[1] and as_good[0])

    def _badness(self, name: str, measure: Measure) -> float:
        value = self.rates[name, measure].value
        return float("inf") if value is None else value if measure.direction == "lower" else -value


def outcome(arms: Sequence[Arm]) -> Outcome:
    """Judge all arms on what the first one (the untouched model) measures.

    Every pair of arms is compared on each measure, paired by item and by seed; Holm's method adjusts over the pairs of
    a measure. An arm with fewer seeds than the others is compared by the seeds that both have. Raises InputError for
    fewer than two measured arms, two arms of one name, or arms that were not asked the same things.
    """
    measured = [arm for arm in arms if arm.folders]
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise InputError(f"tournament: two arms are called {max(names, key=names.count)!r}; give each its own name")
    if len(measured) < 2:
        raise InputError(f"tournament: {len(measured)} arms are measured; two are needed")
    check_same(measured)
    found = measures(next(iter(measured[0].folders.values())))
    rates: dict[tuple[str, Measure], Seeded] = {}
    duels: list[Duel] = []
    spans: dict[tuple[str, Measure], Span] = {}
    for measure in found:
        runs = {arm.name: arm.values(measure) for arm in measured}
        units = sorted(set.intersection(*(set(run) for each in runs.values() for run in each)))
        if not units:
            raise InputError(f"tournament: no item that all arms were asked measures {measure.key}")
        table = {arm.name: _Table.of(arm, runs[arm.name], units) for arm in measured}
        rates |= {(name, measure): seeded_rate(*each.all()) for name, each in table.items()}
        fought = _duels(measure, table)
        duels += fought
        spans |= {(name, measure): _span(name, fought, len(measured)) for name in table}
    return Outcome(tuple(arms), tuple(found), rates, tuple(duels), spans)


class _Table(NamedTuple):
    """One arm's values of one measure, by seed, all in one order of units."""

    seeds: tuple[int, ...]
    fixed: bool
    """The untouched model: what it answers does not depend on a seed."""
    values: list[list[float | None]]
    clusters: list[str]

    @classmethod
    def of(cls, arm: Arm, runs: Sequence[Mapping[Unit, tuple[float | None, str]]], units: Sequence[Unit]) -> "_Table":
        values = [[run[unit][0] for unit in units] for run in runs]
        return cls(arm.seeds, not arm.method, values, [runs[0][unit][1] for unit in units])

    def all(self) -> tuple[list[list[float | None]], list[str]]:
        return self.values, self.clusters

    def of_seeds(self, seeds: Sequence[int]) -> list[list[float | None]]:
        return [values for seed, values in zip(self.seeds, self.values, strict=True) if seed in seeds]


def _duels(measure: Measure, table: dict[str, _Table]) -> list[Duel]:
    made = []
    for (one, a), (two, b) in combinations(table.items(), 2):
        shared = sorted(set(a.seeds) & set(b.seeds))
        if a.fixed or b.fixed:
            sides = b.values, a.values
        elif shared:
            sides = b.of_seeds(shared), a.of_seeds(shared)
        else:
            made.append(Duel(measure, one, two, None, None))
            continue
        made.append(Duel(measure, one, two, seeded_difference(*sides, a.clusters), None))
    judged = [d for d in made if d.difference is not None]
    if not judged:
        return made
    p = [d.difference.p for d in judged if d.difference]
    least = [min(d.difference.p, 2.0 ** (1 - d.difference.changed)) for d in judged if d.difference]
    adjusted = iter(holm(p, least))
    return [d._replace(p_adjusted=next(adjusted)) if d.difference is not None else d for d in made]


def _span(name: str, duels: Sequence[Duel], n: int) -> Span:
    mine = [d for d in duels if name in (d.first, d.second)]
    better = sum(d.winner not in ("", name) for d in mine)
    worse = sum(d.winner == name for d in mine)
    return Span(1 + better, n - worse)
