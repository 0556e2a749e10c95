"""`counterpoise guard`: commands about guards. Larger ones live in files of their own and are added to `app` here."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Guards in front of a model: what they catch and what they over-block.")


@app.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of objects, for scripts.")] = False,
) -> None:
    """List guards: name and what each is.

    Examples:

    - `counterpoise guard list`

    - `counterpoise guard list --json`
    """
    import json

    from counterpoise.guard import known_guards

    entries = [{"name": name, "about": about} for name, about in known_guards().items()]
    if as_json:
        typer.echo(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    from ._print import show as print_table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("name", "about"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        table.add_row(*(Text(cell) for cell in entry.values()))
    print_table(table)
