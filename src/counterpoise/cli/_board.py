"""`counterpoise board`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="board",
    no_args_is_help=True,
    help="""A local results board: your runs beside published numbers, each with interval, n, scorer and source.

Ranks are intervals of ranks, and only within one benchmark revision, split, modality, metric and scorer. The board is
one SQLite file; a new one starts with the numbers that this package ships with their citations.

- `counterpoise board add runs/pocket-core`

- `counterpoise board serve`""",
)

File = Annotated[Path, typer.Option("--file", envvar="COUNTERPOISE_BOARD", help="The board's file.")]
DEFAULT = Path("board.sqlite")


@app.command("add")
def add(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs or evaluations.")],
    file: File = DEFAULT,
    name: Annotated[str | None, typer.Option(help="Name on the board.  [default: the folder's name]")] = None,
) -> None:
    """Add the rows of runs or evaluations. A run gives its `before` and its `after` side.

    Adding the same folder twice changes nothing; changed numbers supersede the old ones, which stay in the file. Two
    folders under one name whose rows were scored by different scorers are refused.

    Examples:

    - `counterpoise board add runs/pocket-core`

    - `counterpoise board add evals/base --name base-2026-03`
    """
    from counterpoise.base import InputError
    from counterpoise.report.board import Board, run_entries, uncalibrated

    if name is not None and len(runs) > 1:
        raise InputError("--name: give one folder at a time with it")
    found = [run_entries(folder, name) for folder in runs]
    with Board(file) as board:
        count = board.add(*found)
        unknown = uncalibrated([entry for entries in found for entry in entries], board.calibrations())
    typer.echo(f"{file}: {count} new rows, {sum(map(len, found)) - count} already there")
    if unknown:
        typer.echo(f"not calibrated on this board: {', '.join(unknown)} (judge calibrate, then board calibration)")


@app.command("calibration")
def calibration(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Results of judge calibrate, or folders.")],
    file: File = DEFAULT,
) -> None:
    """Add the measured errors of judges, which the board shows beside each rank by that judge.

    A later measurement of a judge on the same labels supersedes the earlier one, which stays in the file.

    Examples:

    - `counterpoise judge calibrate opening --labels data/xstest/model_completions`

    - `counterpoise board calibration calibrations`
    """
    from counterpoise.report.board import Board, read_calibrations

    found = read_calibrations(paths)
    with Board(file) as board:
        count = board.add_calibrations(found)
    typer.echo(f"{file}: {count} new calibrations, {len(found) - count} already there")


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files of published numbers.")],
    file: File = DEFAULT,
) -> None:
    """Add published numbers from YAML, each with its source; the page "Results board" describes the file.

    Nothing is guessed: a table without source, a metric of unknown direction or a value outside its range stops the
    import with one line.

    Examples:

    - `counterpoise board import my-paper.yaml`
    """
    from counterpoise.report.board import Board, read_literature

    found = [entry for each in files for entry in read_literature(each)]
    with Board(file) as board:
        count = board.add(found)
    typer.echo(f"{file}: {count} new rows, {len(found) - count} already there")


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the pages.")], file: File = DEFAULT
) -> None:
    """Write the board as self-contained pages that work from a file URL, on a phone and without script.

    Examples:

    - `counterpoise board export board-pages`
    """
    from counterpoise.report.board import Board, write_pages

    with Board(file) as board:
        pages = write_pages(board.entries(), out, board.calibrations())
    typer.echo(f"{len(pages)} pages: {out / 'index.html'}")


@app.command("serve")
def serve(
    file: File = DEFAULT,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 8765,
) -> None:
    """Show the board on this machine, at http://127.0.0.1:8765 unless --port says otherwise. Ctrl-C ends it.

    Only this machine can reach it. Pages are made from the file at each request; nothing else is ever read or sent.

    Examples:

    - `counterpoise board serve --port 9000`
    """
    from counterpoise.report.board import make_server

    with make_server(file, port) as server:
        typer.echo(f"http://127.0.0.1:{server.server_address[1]}/  (Ctrl-C ends)")
        server.serve_forever()
