"""Printing tables, the only place that knows about the terminal's width."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.base import Row

if TYPE_CHECKING:
    from rich.table import Table

    from counterpoise.report import Change


def run_table(folder: Path, run: Mapping[str, Any]) -> None:
    """The before/after table of a run, its verdict, and what to try next; `run` is the content of its `run.json`."""
    from counterpoise.report import EvalFolder, changes, next_step

    found = changes(EvalFolder(folder / "before"), EvalFolder(folder / "after"))
    print_changes(found)
    if advice := next_step(found, run):
        print(f"Next: {advice}")


def print_changes(found: Sequence["Change"]) -> None:
    """Headline, table, and what the words mean."""
    from counterpoise.report import terminal_table, verdict

    show(terminal_table([], found))
    print(f"\n{verdict(found).headline}")
    print("better / worse: the paired 95 % interval excludes zero and the Holm-adjusted p is below 5 %.")


def print_rows(rows: Sequence[Row]) -> None:
    """The table of one evaluation."""
    from counterpoise.report import terminal_table

    show(terminal_table(rows))


def show(table: "Table") -> None:
    """Print a table; in a pipe or a log file it gets 160 columns so that nothing is cut."""
    from rich.console import Console

    console = Console()
    wide = console if console.is_terminal or "COLUMNS" in os.environ else Console(width=160)
    wide.print(table)
