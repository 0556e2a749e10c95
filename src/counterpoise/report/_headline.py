"""The rows to look at first, and those that the verdict counts: one scorer for each metric, pooled over groups."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from counterpoise.base import Row

from ._words import DERIVED

if TYPE_CHECKING:
    from ._change import Change


def headline_rows(rows: Sequence[Row]) -> list[Row]:
    """Of each benchmark and metric the rows of one scorer (the first in the scorecard, which is the benchmark's own
    choice) without the groups of its items (`reading/one word`); the mean over groups, where a benchmark is defined by
    it, stays. The interval, adjustment and denominator of a row are the same here as in the whole scorecard.
    """
    own: dict[tuple[str, str], str] = {}
    for row in rows:
        own.setdefault((row.benchmark, row.metric), row.scorer)
    names = {row.benchmark for row in rows}
    return [row for row in rows if own[row.benchmark, row.metric] == row.scorer and not _is_group(row.benchmark, names)]


def headline_changes(changes: "Sequence[Change]") -> "list[Change]":
    """The changes of `headline_rows`."""
    kept = {row.key for row in headline_rows([change.before for change in changes])}
    return [change for change in changes if change.before.key in kept]


def verdict_rows(rows: Sequence[Row]) -> list[Row]:
    """Of `headline_rows` those that the verdict speaks of and that are adjusted together: no mean over groups or
    benchmarks, which repeats the answers of the rows it is made of, and no difference of two of them (discrimination,
    modality gap)."""
    return [
        row
        for row in headline_rows(rows)
        if row.metric not in DERIVED and "/mean of " not in row.benchmark and not row.benchmark.startswith("suite ")
    ]


def _is_group(name: str, names: set[str]) -> bool:
    """`a/b` is a group where there is a benchmark `a`; `inspect_evals/arc` is none."""
    parts = name.split("/")
    above = ("/".join(parts[:n]) for n in range(1, len(parts)))
    return any(whole in names and not name.startswith(f"{whole}/mean of ") for whole in above)
