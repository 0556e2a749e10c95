"""Printing tables, the only place that knows about the terminal's width."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from counterpoise.base import Row
    from counterpoise.report import Change


AllScorers = Annotated[
    bool, typer.Option("--all-scorers", help="Every row: also by the other scorers, and by groups of items.")
]
Fetch = Annotated[
    bool, typer.Option("--fetch", help="First fetch the rows that are missing; licences are shown and asked for.")
]
AcceptLicence = Annotated[
    bool, typer.Option("--accept-licence", help="With --fetch: accept the licences without being asked.")
]
MEANING = (
    "better / worse: the paired 95 % interval excludes zero and the Holm-adjusted p is below 5 % (the verdict counts "
    "each benchmark's own scorer, pooled over groups); "
    "preserved: less than one point was lost; unclear: anything else, never equal."
)


def run_table(folder: Path, run: Mapping[str, Any], *, all_scorers: bool) -> None:
    """The before/after table of a run, its verdict, and what to try next; `run` is the content of its `run.json`."""
    from counterpoise.report import EvalFolder, changes, next_step

    found = changes(EvalFolder(folder / "before"), EvalFolder(folder / "after"))
    print_changes(found, all_scorers=all_scorers)
    if advice := next_step(found, run):
        print(f"Next: {advice}")


def print_changes(found: Sequence["Change"], *, all_scorers: bool) -> None:
    """Headline, table, and what the words mean."""
    from counterpoise.report import headline_changes, short_table, terminal_table, verdict

    shown = found if all_scorers else headline_changes(found)
    show(terminal_table([], shown) if all_scorers else short_table([], shown))
    if not all_scorers:
        _below([change.before for change in shown], len(found), [change.after for change in shown])
    print(f"\n{verdict(found).headline}")
    print(MEANING)


def print_rows(rows: Sequence["Row"], *, all_scorers: bool) -> None:
    """The table of one evaluation."""
    from counterpoise.report import headline_rows, short_table, terminal_table

    shown = rows if all_scorers else headline_rows(rows)
    show(terminal_table(shown) if all_scorers else short_table(shown))
    if not all_scorers:
        _below(shown, len(rows))


def _below(shown: Sequence["Row"], n: int, after: Sequence["Row"] = ()) -> None:
    from counterpoise.report import scorer_line, unscored_line

    more = f"; --all-scorers shows {n - len(shown)} more rows" if n > len(shown) else ""
    print(scorer_line(shown) + more)
    for side, rows in (("before" if after else "", shown), ("after", after)):
        if line := unscored_line(rows):
            print(f"unscored {side}".strip() + f": {line}")


def show(table: "Table") -> None:
    """Print a table; in a pipe or a log file it gets 160 columns so that nothing is cut."""
    from rich.console import Console

    console = Console()
    wide = console if console.is_terminal or "COLUMNS" in os.environ else Console(width=160)
    wide.print(table)


def say_report(page: Path) -> None:
    """Where the report is, and what belongs to it."""
    from counterpoise.report import files_beside

    typer.echo(f"report: {page}")
    if files_beside(page).is_dir():
        typer.echo(f"        {files_beside(page)} belongs to it: transcripts for which one page has no room")
