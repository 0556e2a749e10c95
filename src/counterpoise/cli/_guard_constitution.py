"""`counterpoise guard clue prepare` and `icons`: what a judge by constitution needs before it can judge."""

from pathlib import Path
from typing import Annotated

import typer


def prepare(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file of rules.")],
    model: Annotated[str, typer.Option(help="Any model of Inspect, PROVIDER/MODEL.")],
    out: Annotated[Path | None, typer.Option(help="Another file for the result.  [default: FILE]")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Versions to try until a rule is objective.")] = 5,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one reply.")] = 120.0,
) -> None:
    """Make rules objective and split them into preconditions with central words, by a language model.

    Rules whose parts fit their text, this model and its prompts are left alone, and so are rules written by hand.

    Examples:

    - `counterpoise guard clue prepare rules.yaml --model openai/gpt-4o`
    """
    from counterpoise.base import InputError, check_writable
    from counterpoise.guard.clue import inspect_asker, prepare_file

    check_writable(out or file, folder=False)
    done = prepare_file(file, model, inspect_asker(model, timeout=timeout), out=out, rounds=rounds)
    typer.echo(f"{out or file}: {len(done.made)} rules prepared, {len(done.kept)} left as they were")
    for rule in done.constitution.rules:
        if rule.id in done.made and rule.original:
            typer.echo(f"{rule.id}: now {rule.text!r} ({rule.objectiveness} of 10)")
    if done.failed:
        raise InputError("; ".join(f"rule {rule}: {why}" for rule, why in done.failed.items()))


def icons(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where images and labels.jsonl go.")],
    seed: Annotated[int, typer.Option(help="Of the rendering.")] = 1,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of pages for each rule.")] = 3,
) -> None:
    """Write the icon set: pages of harmless icons that violate the icon constitution, each with a borderline twin.

    A folder that holds files already is left alone.

    Examples:

    - `counterpoise guard clue icons icons --seed 2`
    """
    from counterpoise.guard.clue import write_icons

    typer.echo(f"{folder}: {write_icons(folder, seed, pairs)} images")
