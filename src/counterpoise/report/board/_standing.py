"""Rank as an interval: the places that a result holds when all results of its group are drawn again."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from counterpoise.evals.stats import Rank, rank_normal

from ._entry import Entry, Group


class Standing(NamedTuple):
    """Places 1..`of` that an entry may hold. `low` is None when there is no rank, and `why` says so; `point` marks a
    place by value alone, for an entry without interval."""

    low: int | None
    high: int | None
    of: int
    why: str = ""
    point: bool = False
    first: float | None = None
    """Share of the resamples in which it is first."""
    tie: int | None = None
    """Number of its tie group, 1 for the best: results whose spans of places overlap in a chain share one."""


def standings(entries: Iterable[Entry]) -> dict[str, Standing]:
    """By hash of the entry. Ranks exist only inside a group: one benchmark revision, split, modality, metric, scorer.

    The entries with intervals are drawn again 4,000 times from value and interval (`rank_normal`) and ranked each time;
    the span holds 95 % of the places. An entry without interval gets its place by value among all ranked entries,
    marked. No rank: alone in its group, no value, or more than a tenth of its items unscored.
    """
    groups: dict[Group, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    found: dict[str, Standing] = {}
    for members in groups.values():
        ranked = [e for e in members if e.value is not None and not e.incomplete]
        drawn = _drawn([e for e in ranked if e.ci_low is not None])
        for entry in members:
            found[entry.hash] = _standing(entry, ranked, drawn)
    return found


def _drawn(certain: Sequence[Entry]) -> dict[str, Rank]:
    """Ranks by hash; the same for any order of the entries."""
    if len(certain) < 2:
        return {entry.hash: Rank(1, 1, 1, 1, 1.0) for entry in certain}
    ordered = sorted(certain, key=lambda entry: entry.hash)
    ranks = rank_normal(
        [e.value or 0.0 for e in ordered],
        [min(e.ci_low or 0.0, e.value or 0.0) for e in ordered],  # published values are rounded
        [max(e.ci_high or 0.0, e.value or 0.0) for e in ordered],
        lower_is_better=ordered[0].direction == "lower",
    )
    return {entry.hash: rank for entry, rank in zip(ordered, ranks, strict=True)}


def _standing(entry: Entry, ranked: Sequence[Entry], drawn: dict[str, Rank]) -> Standing:
    if entry.value is None:
        return Standing(None, None, len(ranked), "nothing scored")
    if entry.incomplete:
        return Standing(None, None, len(ranked), "over 10 % unscored")
    if len(ranked) < 2:
        return Standing(None, None, len(ranked), "nothing to compare with")
    if entry.ci_low is None:
        place = 1 + sum(_badness(other.value, entry) < _badness(entry.value, entry) for other in ranked)
        return Standing(place, place, len(ranked), "by value alone, no interval", point=True)
    if len(drawn) < 2:
        return Standing(None, None, len(drawn), "no other row has an interval")
    rank = drawn[entry.hash]
    return Standing(rank.low, rank.high, len(drawn), first=rank.first, tie=rank.group)


def ends(entry: Entry) -> tuple[float, float]:
    """The interval with small meaning good, whatever the metric's direction."""
    low, high = entry.ci_low or 0.0, entry.ci_high or 0.0
    return (low, high) if entry.direction == "lower" else (-high, -low)


def _badness(value: float | None, entry: Entry) -> float:
    sign = 1.0 if entry.direction == "lower" else -1.0
    return round(sign * (value or 0.0), 12)
