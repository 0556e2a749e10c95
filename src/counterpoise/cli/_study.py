"""`counterpoise study`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True, help="What did safety tuning change inside, and why do jailbreaks get through?")


@app.command("pcfg")
def pcfg(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the study; a stopped one goes on.")],
    size: Annotated[
        Literal["tiny", "paper"], typer.Option(help="tiny: minutes on two CPU cores. paper: the paper's numbers.")
    ] = "tiny",
    seed: Annotated[int, typer.Option(min=0, help="Of grammar, operators, data, models and batches.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the stages and do nothing.")] = False,
) -> None:
    """Safety fine-tuning in a world whose every rule is known: a small GPT, its tunings, attacks, five analyses.

    Examples:

    - `counterpoise study pcfg --out runs/study`

    - `counterpoise study pcfg --size paper --out runs/study-paper`
    """
    from counterpoise.study.pcfg import TITLES, claims, plan, run
    from counterpoise.study.pcfg import size as sized

    settings = sized(size, seed=seed)
    if dry_run:
        for stage, what in plan(settings):
            typer.echo(f"{stage}: {what}")
        return
    from counterpoise.report import write_study

    results = run(settings, out)
    page = write_study(out / "report.html", results)
    for key, title in TITLES.items():
        mine = [each for each in claims(results) if each.claim == key]
        held = ", ".join(each.model for each in mine if each.holds)
        typer.echo(f"{title}: {sum(each.holds for each in mine)} of {len(mine)} ({held or 'none'})")
    typer.echo(f"report: {page}")
