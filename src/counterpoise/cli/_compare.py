"""`counterpoise compare`."""

from pathlib import Path
from typing import Annotated

import typer

from ._print import AllScorers


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of the first evaluation (before).")],
    b: Annotated[Path, typer.Argument(help="Folder of the second evaluation (after).")],
    allow_different_scorers: Annotated[
        bool,
        typer.Option(
            "--allow-different-scorers", help="List rows of different scorers side by side instead of stopping."
        ),
    ] = False,
    all_scorers: AllScorers = False,
) -> None:
    """Compare two evaluations item by item.

    Items are paired by id; differences get a paired 95 % interval and Holm-adjusted p values, within the safety rows
    and within the capability rows of each benchmark's own scorer. Other scorers and groups of items are shown and not
    counted in the verdict. Another scorer is another metric: evaluations scored differently are refused.

    Examples:

    - `counterpoise compare runs/pocket-core/before runs/pocket-core/after`

    - `counterpoise compare evals/base evals/my-finetune`
    """
    from counterpoise.report import compare as paired

    from ._print import print_changes, print_rows

    found = paired(a, b, allow_different_scorers=allow_different_scorers)
    print_changes(found.changes, all_scorers=all_scorers)
    for line in found.shared:
        typer.echo(f"\n{line}")
    for line in found.revisions:
        typer.echo(f"\nnot compared: {line}")
    for name, rows in ((a, found.only_a), (b, found.only_b)):
        if rows:
            typer.echo(f"\nonly in {name}, not compared:")
            print_rows(rows, all_scorers=all_scorers)
