"""`counterpoise data mis`."""

from pathlib import Path
from typing import Annotated

import typer


def build_set(
    requests: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Harmful requests: text (one a line), JSON, JSON Lines or CSV; maybe with images."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the set; what was paid for is kept in it.")] = Path("mis-set"),
    model: Annotated[
        str, typer.Option(help="Model of Inspect that plays every role without one of its own: PROVIDER/MODEL.")
    ] = "",
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="ROLE=MODEL",
            help="Model of one role: writer, editor, viewer, experts, classifier, labeller or judge; may be repeated, "
            "and for experts, who must all agree, several may be named: experts=A,B.",
        ),
    ] = None,
    painter: Annotated[
        str, typer.Option(help="icons (our own pages), or a text-to-image model for diffusers: hub id or folder.")
    ] = "icons",
    rounds: Annotated[
        int, typer.Option(min=1, max=5, help="How often a picture is made before its item is dropped.")
    ] = 2,
    connections: Annotated[int, typer.Option(min=1, help="Calls at a time.")] = 16,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many requests.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show roles and how many calls each step can take; ask nobody.")
    ] = False,
) -> None:
    """Build a training and test set of image pairs from harmful requests, in the manner of MIS.

    Seven steps: elements, instruction, detoxify, images, experts, classify, labels. A reply off its form drops its
    item, counted in `card.json` and `README.md`; stopped anywhere, the same command goes on and repeats no call and no
    picture. Writes `mis_train.json`, `mis_easy.json`, `mis_hard.json` and their images, which `counterpoise align
    --method mirage` and the benchmarks mis-easy and mis-hard read.

    Examples:

    - `counterpoise data mis requests.txt --model openai/gpt-4o --painter stabilityai/stable-diffusion-3.5-large`

    - `counterpoise data mis requests.txt --model counterpoise-icons/expert` (rules and icons: no network, no weights)
    """
    from counterpoise.base import InputError
    from counterpoise.methods.mis import ROLES, MISBuild, build, planned_calls, read_seeds

    roles: dict[str, tuple[str, ...]] = {}
    for each in role or []:
        name, equals, models = each.partition("=")
        if not equals or not models.strip():
            raise InputError(f"--role: {each!r} is not ROLE=MODEL")
        if name not in ROLES:
            raise InputError.unknown("role", name, ROLES)
        if name in roles:
            raise InputError(f"--role: {name} is given twice")
        roles[name] = tuple(part.strip() for part in models.split(",") if part.strip())
    config = MISBuild.model_validate(
        {"model": model, "roles": roles, "painter": painter, "rounds": rounds, "connections": connections,
         "limit": limit}
    )  # fmt: skip
    if dry_run:
        n = len(read_seeds(requests)[:limit])
        typer.echo(f"{n:,} requests; pictures: {painter}, at most {rounds} rounds; into {out}")
        for name in ROLES:
            typer.echo(f"  {name}: {', '.join(config.players(name))}")
        calls = planned_calls(n, config)
        for step, (fewest, most) in calls.items():
            typer.echo(f"  {step}: {f'{most:,}' if fewest == most else f'{fewest:,} to {most:,}'} calls")
        typer.echo(f"at most {sum(most for _, most in calls.values()):,} calls, fewer for items that leave on the way")
        return
    built = build(requests, config, out)
    rows = {place: len(found) for place, found in built.rows.items()}
    typer.echo(
        f"{len(built.items):,} requests: train {rows['train']:,}, easy {rows['easy']:,}, hard {rows['hard']:,}; "
        f"{built.calls:,} calls now, {built.kept:,} replies kept from before, {built.painted:,} pictures made"
    )
    for step, reasons in built.drops.items():
        for why, number in reasons.items():
            typer.echo(f"  left out at {step}: {number:,}, {why}")
    if built.waiting:
        raise InputError(f"{len(built.waiting)} items wait for a reply; the same command asks again")
    typer.echo(f"set: {out}")
