"""`counterpoise guard attack`."""

from pathlib import Path
from typing import Annotated

import typer

from ._guard_options import Force, Options, not_replacing, options_of


def attack(
    target: Annotated[
        str, typer.Argument(metavar="SERVER|GUARD", help="Address of a guard server, or NAME or NAME:DETAIL.")
    ],
    family: Annotated[
        list[str] | None,
        typer.Option(
            "--family",
            "-f",
            help="One family of attacks; may be repeated: plain, languages, dilution, disguise, prints, turns; "
            "for servers with an upstream also fields, tools, streams.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Requests for each variant; translations are always all.")] = 10,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("guard-attack"),
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="RULE",
            help="Exit code 1 when a family breaks it: passed>0.1 (harmful tries), over_block>10% (controls). "
            "May be repeated.",
        ),
    ] = None,
    variants: Annotated[
        bool, typer.Option("--variants", help="A line for each variant, not only each family.")
    ] = False,
    key_env: Annotated[
        str | None, typer.Option(help="Environment variable with the server's key.", metavar="NAME")
    ] = None,
    option: Options = None,
    force: Force = False,
) -> None:
    """Try to talk harmful requests past a guard, and harmless ones in the same forms beside them.

    Writes `attack.json`, `report.html` and one line per try into `attempts-*.jsonl`: the same command given again goes
    on where it stopped, and another guard's table in the folder is not replaced. A try that the guard could not judge
    is `unknown`, which a gate blocks. Requests are Twins' validation families, never instructions. Attacks on a
    server's proxy reach the model behind it where they pass.

    Examples:

    - `counterpoise guard attack tiny`

    - `counterpoise guard attack tiny --family disguise --variants --fail-on 'passed>0.2'`

    - `counterpoise guard attack http://127.0.0.1:8808 --limit 3`
    """
    import os

    from counterpoise.base import InputError, Progress, check_writable, only_process
    from counterpoise.evals.judges import slug
    from counterpoise.guard import attack as suite
    from counterpoise.report import attack_table, write_attack

    from ._print import show as print_table

    rules = {each: suite.parse_attack_rule(each) for each in fail_on or []}
    check_writable(out)
    if key_env is not None and not os.environ.get(key_env):
        raise InputError(f"--key-env {key_env}: the environment does not hold it")
    made = suite.target(target, key=os.environ.get(key_env or "", ""), **options_of(option))
    tries = suite.attacks(suite.fitting(family or suite.FAMILIES, made), limit)
    if not tries:
        raise InputError(f"--family {', '.join(family or [])}: needs a server's address, such as http://127.0.0.1:8808")
    settings = {
        "target": target, "options": option or [], "limit": limit,
        "families": list(dict.fromkeys(each.family for each in tries)),
    }  # fmt: skip
    not_replacing(out / suite.RESULTS, suite.about(made, settings), force=force)
    with only_process(out):
        with Progress(f"attacking, {made.name}", len(tries), unit="tries") as progress:
            outcomes = suite.attack(made, tries, journal=out / f"attempts-{slug(made.name)}.jsonl", progress=progress)
        found = suite.shares(tries, outcomes)
        gates = {text: suite.unkept(found, [rule]) for text, rule in rules.items()}
        suite.save(out, made, tries, outcomes, found, settings, gates)
        page = write_attack(out / "report.html", made, found, settings, gates)
    print_table(attack_table(made.name, [each for each in found if variants or not each.variant]))
    for reason, count in suite.not_run(outcomes).items():
        hint = "; start the server with an upstream" if reason == "no_upstream" else ""
        typer.echo(f"not run, {count} tries: {reason}{hint}", err=True)
    typer.echo(f"report: {page}")
    broken = [line for lines in gates.values() for line in lines]
    for line in broken:
        typer.echo(f"failed: {line}", err=True)
    if broken:
        raise typer.Exit(1)
