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
            cells = (row.benchmark, row.modality, row.metric, percent(row.value), *_single(row), row.scorer)
            table.add_row(*(Text(cell) for cell in cells))
    return table


def _single(row: Row) -> tuple[str, str]:
    text = interval(row.ci_low, row.ci_high)
    case = bounds(row)
    if case and unscored_share(row) > 0.02:
        text += f" (unscored both ways: {interval(*case)})"
    return text, _count(row)


def _count(row: Row) -> str:
    text = str(row.n_scored)
    if row.n_unscored:
        why = reasons(row)
        text += f" +{row.n_unscored} unscored" + (f" ({why})" if why else "")
    if row.n_planned is not None:
        text += f" (stopped early, {row.n_planned} planned)"
    return text + (" INCOMPLETE" if unscored_share(row) > 0.10 else "")


def _changed(change: Change) -> "tuple[Text, ...]":
    from rich.text import Text

    row = change.before
    difference = points(change.difference)
    if change.low is not None:
        difference += f" ({interval(change.low, change.high)})"
    verdict = SIGNS[change.judgement] + (", preserved within 1 point" if change.preserved else "")
    cells = (row.benchmark, row.modality, row.metric, percent(row.value), percent(change.after.value), difference)
    pairs = str(change.n_pairs) + (f" +{change.n_excluded} unpaired" if change.n_excluded else "")
    sides = (("before", change.before), ("after", change.after))
    if why := "; ".join(f"{side}: {words}" for side, each in sides if (words := reasons(each))):
        pairs += f" ({why})"
    coloured = Text(verdict, style=COLOURS[change.judgement])
    return (*(Text(cell) for cell in cells), Text(pairs), coloured, Text(row.scorer))
