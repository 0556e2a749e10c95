"""Rates of guards in a terminal, and the cells that the page shares with it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from counterpoise.base import Row
from counterpoise.guard.evaluate import CATCH, OVER_BLOCK, GuardResult

from ._words import interval, percent, unscored_share

if TYPE_CHECKING:
    from rich.table import Table


def guard_tables(results: Sequence[GuardResult]) -> "list[Table]":
    """One table per guard; a line per set and modality: both rates, intervals, denominators, unknown apart."""
    from rich.table import Table
    from rich.text import Text

    made = []
    for result in results:
        table = Table(title=Text(result.guard), title_justify="left", header_style="bold", pad_edge=False, box=None)
        for name in ("set", "modality"):
            table.add_column(name, overflow="fold")
        for name in ("catch (95 %)", "over-block (95 %)", "unknown", "fails closed: catch", "over-block"):
            table.add_column(name, justify="right", no_wrap=True)
        for key, found in by_set(result).items():
            cells = (*key, *(cell(found.get(metric)) for metric in (CATCH, OVER_BLOCK)))
            table.add_row(*(Text(cell) for cell in (*cells, unknown(found), *closed(found))))
        made.append(table)
        if result.by_category:
            made.append(_categories(result))
    return made


def _categories(result: GuardResult) -> "Table":
    """Over-block first: what a category costs the users who ask about it."""
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{result.guard}: by category")
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False, box=None)
    for name in ("set", "category"):
        table.add_column(name, overflow="fold")
    for name in ("over-block (95 %)", "catch (95 %)", "unknown"):
        table.add_column(name, justify="right", no_wrap=True)
    for key, found in by_category(result).items():
        cells = (*key, cell(found.get(OVER_BLOCK)), cell(found.get(CATCH)), unknown(found))
        table.add_row(*(Text(each) for each in cells))
    return table


def by_category(result: GuardResult) -> dict[tuple[str, str], dict[str, Row]]:
    """{(set, category): {metric: row}}; the most over-blocked category of a set first."""
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in result.by_category:
        found.setdefault((row.benchmark, row.split), {})[row.metric] = row
    sets = list(dict.fromkeys(name for name, _ in found))

    def worst(key: tuple[str, str]) -> tuple[int, float]:
        row = found[key].get(OVER_BLOCK)
        return sets.index(key[0]), -(row.value if row is not None and row.value is not None else -1.0)

    return {key: found[key] for key in sorted(found, key=worst)}


def by_set(result: GuardResult) -> dict[tuple[str, str], dict[str, Row]]:
    """{(set, modality): {metric: row}}."""
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in result.rows:
        found.setdefault((row.benchmark, row.modality), {})[row.metric] = row
    return found


def cell(row: Row | None) -> str:
    """A rate with its interval and denominator, or why there is none."""
    if row is None:
        return "no such rows"
    if row.value is None:
        return f"none of {row.n_unscored} known"
    mark = " INCOMPLETE" if unscored_share(row) > 0.10 else ""
    return f"{percent(row.value)} ({interval(row.ci_low, row.ci_high)}), n {row.n_scored}{mark}"


def unknown(found: Mapping[str, Row]) -> str:
    """How many exchanges got no verdict."""
    n = sum(found[name].n_unscored for name in (CATCH, OVER_BLOCK) if name in found)
    total = sum(found[name].n_scored + found[name].n_unscored for name in (CATCH, OVER_BLOCK) if name in found)
    return f"{n} of {total}"


def closed(found: Mapping[str, Row]) -> tuple[str, str]:
    """Both rates when an unknown verdict blocks."""
    rows = (found.get(f"{CATCH}_closed"), found.get(f"{OVER_BLOCK}_closed"))
    return tuple("" if row is None else percent(row.value) for row in rows)  # type: ignore[return-value]
