"""`counterpoise tournament`."""

from pathlib import Path
from typing import Annotated

import typer


def tournament(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name, hub id or folder of a vision-language model.")
    ] = "pocket",
    methods: Annotated[str, typer.Option(metavar="A,B,C", help="Methods that compete, each with its defaults.")] = "",
    arm: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="NAME=METHOD,SETTING=VALUE", help="One more arm with its settings; repeat."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="What one training may cost: 200rows, or 10min on this machine.  [default: as each method]"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each arm.")] = 3,
    suite: Annotated[str, typer.Option(help="Benchmarks to measure with: smoke, core or full.")] = "core",
    out: Annotated[Path | None, typer.Option(help="Folder.  [default: runs/tournament-MODEL-SUITE]")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many items per benchmark.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Conversations per batch of generation.")] = 64,
    device_map: Annotated[str | None, typer.Option(help="How a model larger than one device is spread.")] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Arms worked on at once, each on its share of the GPUs or of the cores.")
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan with its cost; do nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Start over: remove what an earlier one left.")] = False,
) -> None:
    """Let several methods correct the same model, and compare them on the same items, seeds and budget.

    One page shows what each arm does to harm, over-refusal, capability and broken replies, with intervals over items
    and seeds, a matrix of paired tests, ranks as intervals, and what each took. A stopped tournament continues when the
    same command is given again; arms and seeds can be added to it.

    Examples:

    - `counterpoise tournament --methods rejection-mix,sit,dpo --budget 200rows --suite smoke`

    - `counterpoise tournament my/model --methods mirage,textual-sft --arm small=rejection-mix,fraction=0.05`
    """
    from counterpoise.base import InputError
    from counterpoise.runs import default_folder
    from counterpoise.runs.tournament import (
        Budget,
        parse_arm,
        parse_budget,
        parse_methods,
        run_tournament,
        tournament_config,
        tournament_plan,
    )

    arms = [*parse_methods(methods), *(parse_arm(text) for text in arm or ())]
    if not arms:
        raise InputError("tournament: no arm; name some, for example --methods rejection-mix,dpo")
    config = tournament_config(
        arms, seeds=seeds, model=model, suite=suite, limit=limit, max_new_tokens=max_new_tokens, batch=batch,
        device_map=device_map, budget=parse_budget(budget) if budget else Budget(rows=None, minutes=None),
        out=out or default_folder("runs", "tournament", model, suite, f"limit{limit}" if limit else ""),
    )  # fmt: skip
    if dry_run:
        typer.echo(str(tournament_plan(config, jobs=jobs)))
        return
    page = run_tournament(config, jobs=jobs, force=force, say=lambda line: typer.echo(line, err=True))
    typer.echo(page.with_suffix(".md").read_text(encoding="utf-8"))
    typer.echo(f"page: {page}", err=True)
