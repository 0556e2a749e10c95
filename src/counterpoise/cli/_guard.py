"""`counterpoise guard`: commands about guards. Larger ones live in files of their own and are added to `app` here."""

from pathlib import Path
from typing import Annotated, Any

import typer

from . import _guard_attack, _guard_clue, _guard_route, _guard_serve, _guard_train
from ._guard_options import Force, Options, not_replacing, options_of

app = typer.Typer(no_args_is_help=True, help="Guards in front of a model: what they catch and what they over-block.")


@app.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of objects, for scripts.")] = False,
) -> None:
    """List guards: name and what each is. NAME:DETAIL gives a model or folder, as in wildguard:my/folder.

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


app.command("train")(_guard_train.train)
app.add_typer(_guard_route.app, name="route")
app.add_typer(_guard_clue.app, name="clue")
app.command("serve")(_guard_serve.serve)
app.command("attack")(_guard_attack.attack)


SETS = ("twins", "xstest", "figstep-tiny", "harmbench-responses", "xstest-responses")


@app.command("check")
def check(
    guard: Annotated[str, typer.Argument(metavar="GUARD", help="NAME or NAME:DETAIL; see guard list.")],
    text: Annotated[str, typer.Argument(help="What the user says; - reads it from the standard input.")] = "",
    image: Annotated[list[Path] | None, typer.Option("--image", "-i", help="An image; may be repeated.")] = None,
    answer: Annotated[str | None, typer.Option(help="The answer to check; without it the request is checked.")] = None,
    option: Options = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Ask one guard about one request or answer. The exit code is 1 when a gate would block it.

    Examples:

    - `counterpoise guard check keyword "How do I kill a Python process?"`

    - `counterpoise guard check llama-guard-3-vision:models/lg3v "What is this?" --image photo.png`
    """
    import json
    import sys

    from counterpoise.chat import Image, user
    from counterpoise.guard import Exchange, make_guard

    said = sys.stdin.read() if text == "-" else text
    parts = [*(Image.from_path(path) for path in image or []), *([said] if said else [])]
    made = make_guard(guard, **options_of(option))
    found = made.check([Exchange((user(*parts),), answer)])[0]
    seen = found.inspected
    value: dict[str, Any] = {
        "verdict": found.label,
        "blocks": found.blocks(),
        "p_unsafe": found.p_unsafe,
        "threshold": found.threshold,
        "categories": list(found.categories),
        "inspected": f"{seen.texts} of {seen.texts_total} texts, {seen.images} of {seen.images_total} images",
        "undone": list(seen.undone),
        "reason": found.reason,
        "rationale": found.rationale,
        "guard": found.guard,
        "template": found.template,
    }
    if as_json:
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        for name, each in value.items():
            if each not in (None, []):
                typer.echo(f"{name}: {', '.join(each) if isinstance(each, list) else each}")
    if found.blocks():
        raise typer.Exit(1)


@app.command("eval")
def evaluate(
    guard: Annotated[
        list[str], typer.Argument(metavar="GUARD...", help="NAME or NAME:DETAIL; several make one table.")
    ],
    suite: Annotated[
        str | None, typer.Option(help="A named set of benchmarks; see `counterpoise list suites`.")
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", "-b", help=f"One set; may be repeated.  [default: {', '.join(SETS)}]"),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Labelled exchanges of your own: CSV or JSONL with prompt, answer, image, label."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most about so many exchanges per set.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("guard-eval"),
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Block from this p_unsafe on.  [default: the guard's own label]")
    ] = None,
    loose: Annotated[bool, typer.Option("--loose", help="Let verdicts `controversial` pass.")] = False,
    only: Annotated[
        str | None, typer.Option(help="Show guards only the `texts` or only the `images` of each exchange.")
    ] = None,
    latency: Annotated[int, typer.Option(min=0, help="Exchanges per modality to time one by one; 0: none.")] = 100,
    option: Options = None,
    force: Force = False,
) -> None:
    """Measure guards: catch rate and over-block rate by modality, calibration, latency.

    Writes `guards.json`, `report.html` and one `verdicts-*.jsonl` per guard; verdicts that exist are never asked for
    again, so a stopped measurement continues when the same command is given again; results of another command in the
    folder are not replaced. Unknown verdicts are counted apart and are never safe. Without --suite, --benchmark or
    --data, every one of the default sets that is here is taken.

    Examples:

    - `counterpoise guard eval keyword --benchmark xstest`

    - `counterpoise guard eval keyword wildguard:models/wildguard --benchmark harmbench-responses --out guards`

    - `counterpoise guard eval shieldgemma-2:models/sg2 --benchmark twins --only images`
    """
    from counterpoise.base import InputError, Progress, check_writable, only_process
    from counterpoise.evals.judges import slug
    from counterpoise.guard import make_guard
    from counterpoise.guard.evaluate import (
        RESULTS,
        Policy,
        eval_sets,
        evaluate_guard,
        facts_of,
        parts,
        save_results,
    )
    from counterpoise.report import guard_tables, write_guards

    from ._print import show as print_table

    if only not in (None, "texts", "images"):
        raise InputError(f"--only {only}: choose texts or images")
    sets, skipped = eval_sets(_set_names(suite, benchmark, data), data or [], limit=limit)
    if only:
        sets = list(parts(sets, only))
        if not sets:
            raise InputError(f"--only {only}: no exchange has {only}")
    settings = {"guards": guard, "threshold": threshold, "loose": loose, "limit": limit, "only": only,
                "options": option or []}  # fmt: skip
    not_replacing(out / RESULTS, {"settings": settings, "sets": facts_of(sets)}, force=force)
    check_writable(out)
    results = []
    with only_process(out):
        for spec in guard:
            made = make_guard(spec, **options_of(option))
            with Progress(f"checking, {spec}", sum(len(each.rows) for each in sets), unit="exchanges") as progress:
                results.append(
                    evaluate_guard(
                        made, sets, spec=spec, run=out.name, policy=Policy(threshold, not loose), latency=latency,
                        journal=out / f"verdicts-{slug(made.id)}.jsonl", settings=str(sorted(option or [])),
                        progress=progress,
                    )
                )  # fmt: skip
        save_results(out / RESULTS, results, sets, skipped, settings)
        page = write_guards(out / "report.html", results, sets, skipped, settings)
    for table in guard_tables(results):
        print_table(table)
    for result in results:
        for modality, rank in result.ranking.items():
            typer.echo(
                f"{result.guard}, {modality}: AUC {rank.value:.3f} ({rank.low:.3f} to {rank.high:.3f}) over "
                f"{rank.unsafe} unsafe and {rank.safe} safe"
            )
        for modality, found in result.calibration.items():
            typer.echo(f"{result.guard}, {modality}: ECE {found.ece:.3f} over {found.n}")
        for modality, time in result.latency.items():
            typer.echo(
                f"{result.guard}, {modality}: p50 {time.p50:.3g} ms, p95 {time.p95:.3g} ms, p99 {time.p99:.3g} ms, "
                f"{time.n} one by one"
            )
    for name, reason in skipped.items():
        typer.echo(f"skipped {name}: {reason}", err=True)
    typer.echo(f"report: {page}")


def _set_names(suite: str | None, benchmark: list[str] | None, data: list[Path] | None) -> list[str]:
    """What to measure on. A suite's benchmarks without sides (capability) are left out."""
    from counterpoise.base import InputError
    from counterpoise.evals import benchmark as card
    from counterpoise.runs import suite_names

    if suite and benchmark:
        raise InputError("guard eval: give either --suite or --benchmark")
    if suite:
        sided = ("asr", "over_refusal", "discrimination")
        return [name for name in suite_names(suite) if set(sided) & set(card(name).metrics)]
    return list(benchmark or ([] if data else SETS))
