"""The scorecard as a terminal table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from counterpoise.base import Row

from ._change import Change
from ._words import bounds, interval, percent, points, reasons, unscored_share

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

COLOURS = {"better": "green", "worse": "red", "unclear": "", "not measured": "dim"}
SIGNS = {"better": "better", "worse": "worse", "unclear": "no clear change", "not measured": "not measured"}


def short_table(rows: Sequence[Row], changes: Sequence[Change] | None = None) -> "Table":
    """Like `terminal_table` with one line per row also in 80 columns: numbers are per cent without the sign, the scorer
    is named below the table, by `scorer_line`, and the verdict is one word."""
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", pad_edge=False, padding=(0, 1, 0, 0), box=None)
    for name in ("benchmark", "metric"):
        table.add_column(name)
    for name in ("before", "after", "change (95 %)", "n") if changes is not None else ("value", "95 %", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    if changes is None:
        for row in rows:
            table.add_row(*(Text(cell) for cell in (_place(row), row.metric, _bare(row.value), *_single(row, ""))))
        return table
    table.add_column("verdict")
    for change in changes:
        row, verdict = change.before, "unclear" if change.judgement == "unclear" else SIGNS[change.judgement]
        if verdict == "unclear" and change.preserved:
            verdict = "preserved"
        numbers = (_bare(row.value), _bare(change.after.value), _difference(change), _pairs(change, ""))
        cells = (Text(cell) for cell in (_place(row), row.metric, *numbers))
        table.add_row(*cells, Text(verdict, style=COLOURS[change.judgement]))
    return table


def scorer_line(rows: Sequence[Row]) -> str:
    """Which scorer each number is by: another scorer is another metric."""
    by: dict[str, dict[str, None]] = {}
    for row in rows:
        by.setdefault(row.scorer, {})[row.benchmark + (": official" if row.official else "")] = None
    return "per cent, scored by " + "; ".join(f"{scorer} ({', '.join(names)})" for scorer, names in by.items())


def unscored_line(rows: Sequence[Row]) -> str:
    """Why items of these rows are unscored; empty when all are scored."""
    return "; ".join(f"{_place(row)} {row.metric}: {reasons(row)}" for row in rows if row.reasons)


def _bare(value: float | None) -> str:
    return percent(value).removesuffix("\N{NO-BREAK SPACE}%")


def _place(row: Row) -> str:
    return row.benchmark if row.modality in ("all", "") else f"{row.benchmark} {row.modality}"


def terminal_table(rows: Sequence[Row], changes: Sequence[Change] | None = None, title: str = "") -> "Table":
    """One line per row; with `changes`, before and after with the paired difference in points.

    A row with more than 2 % unscored items shows its worst and best case; more than 10 % marks it incomplete.
    """
    from rich.table import Table
    from rich.text import Text  # not markup: scorer ids contain [ and ]

    table = Table(title=title or None, title_justify="left", header_style="bold", pad_edge=False, box=None)
    for name in ("benchmark", "modality", "metric"):
        table.add_column(name, overflow="fold")
    numbers = ("before", "after", "change (95 %)", "n") if changes is not None else ("value", "95 %", "n")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    if changes is not None:
        table.add_column("verdict")
        table.add_column("scorer", overflow="fold")
        for change in changes:
            table.add_row(*_changed(change))
    else:
        table.add_column("scorer", overflow="fold")
        for row in rows:
            numbers = (percent(row.value), *_single(row, reasons(row)))
            cells = (row.benchmark, row.modality, row.metric, *numbers, _scored_by(row))
            table.add_row(*(Text(cell) for cell in cells))
    return table


def _single(row: Row, why: str) -> tuple[str, str]:
    text = interval(row.ci_low, row.ci_high)
    case = bounds(row)
    if case and unscored_share(row) > 0.02:
        text += f" (unscored both ways: {interval(*case)})"
    return text, _count(row, why)


def _count(row: Row, why: str) -> str:
    text = str(row.n_scored)
    if row.n_unscored:
        text += f" +{row.n_unscored} unscored" + (f" ({why})" if why else "")
    if row.n_planned is not None:
        text += f" (stopped early, {row.n_planned} planned)"
    return text + (" INCOMPLETE" if unscored_share(row) > 0.10 else "")


def _changed(change: Change) -> "tuple[Text, ...]":
    from rich.text import Text

    row = change.before
    verdict = SIGNS[change.judgement] + (", preserved within 1 point" if change.preserved else "")
    numbers = (percent(row.value), percent(change.after.value), _difference(change), _pairs(change, _why(change)))
    cells = (Text(cell) for cell in (row.benchmark, row.modality, row.metric, *numbers))
    return (*cells, Text(verdict, style=COLOURS[change.judgement]), Text(_scored_by(row)))


def _scored_by(row: Row) -> str:
    return row.scorer + (" (official)" if row.official else "")


def _difference(change: Change) -> str:
    around = f" ({interval(change.low, change.high)})" if change.low is not None else ""
    return points(change.difference) + around


def _why(change: Change) -> str:
    sides = (("before", change.before), ("after", change.after))
    return "; ".join(f"{side}: {words}" for side, each in sides if (words := reasons(each)))


def _pairs(change: Change, why: str) -> str:
    pairs = str(change.n_pairs) + (f" +{change.n_excluded} unpaired" if change.n_excluded else "")
    return f"{pairs} ({why})" if why else pairs
