"""`counterpoise eval`."""

from pathlib import Path
from typing import Annotated

import typer

from ._align import DeviceMap
from ._print import AcceptLicence, AllScorers, Fetch


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Name (pocket), hub id or folder of a model, or the folder of an adapter."
        ),
    ],
    suite: Annotated[
        str | None, typer.Option(help="A named set of benchmarks; see `counterpoise list suites`.")
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", "-b", help="One benchmark, or inspect_evals/TASK; may be repeated."),
    ] = None,
    benchmark_file: Annotated[
        list[Path] | None,
        typer.Option("--benchmark-file", help="A benchmark of your own, from a YAML file; may be repeated."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many items per benchmark.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results.  [default: evals/MODEL-SUITE, or -BENCHMARK]")
    ] = None,
    artifact: Annotated[
        Path | None,
        typer.Option(
            "--artifact",
            "--adapter",
            help="What a correction left, to put on the model: folder of a PEFT adapter, of whole weights or of an "
            "edit; proven active or refused.",
        ),
    ] = None,
    bare: Annotated[
        bool,
        typer.Option("--bare", help="Without the system text that the model or artifact is served with."),
    ] = False,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer.  [default: each benchmark's own]")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Conversations per batch of generation.")] = 64,
    device_map: DeviceMap = None,
    stop_when: Annotated[
        str | None,
        typer.Option(help="End a benchmark as soon as this is certainly met or missed, such as 'asr<=0.05'."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the plan with rows, tokens, time and what differences can be seen."),
    ] = False,
    fetch: Fetch = False,
    accept_licence: AcceptLicence = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace what --out holds of another model, limit or adapter; answers stay."),
    ] = False,
    all_scorers: AllScorers = False,
) -> None:
    """Measure a model on a suite or on single benchmarks.

    Writes `scorecard.json` (rates with intervals, denominators and scorers), `items.jsonl` (every answer) and
    `logs/*.eval` (open them with `inspect view`). Answers that exist are never generated again, so a stopped
    evaluation continues when the same command is given again. One process at a time works in a folder, and results of
    another model, adapter or limit are not replaced without `--force`.

    Examples:

    - `counterpoise eval pocket --suite smoke`

    - `counterpoise eval pocket --benchmark twins --limit 64 --out evals/first`

    - `counterpoise eval my/model --suite core --fetch`

    - `counterpoise eval pocket --benchmark xstest --stop-when 'over_refusal<=0.10'`

    - `counterpoise eval pocket --benchmark-file my-benchmark.yaml`

    - `counterpoise eval my/model --artifact runs/my-model-core/adapter --suite core --out evals/aligned`
    """
    from counterpoise.base import InputError
    from counterpoise.evals import suite as suite_called
    from counterpoise.runs import default_folder, eval_plan, placed

    own = [str(file) for file in benchmark_file or []]
    if wrong := [name for name in own if not name.endswith((".yaml", ".yml"))]:
        raise InputError(f"{wrong[0]}: --benchmark-file takes a .yaml file that describes the benchmark")
    if (suite and benchmark) or not (suite or benchmark or own):
        raise InputError("eval: give either --suite NAME or --benchmark NAME (repeated), or --benchmark-file FILE")
    if fetch and not dry_run:
        from ._data import make_folder

        make_folder()
    chosen = suite_called(suite) if suite else None
    names = (list(chosen.benchmarks) if chosen else list(benchmark or [])) + own
    from counterpoise.evals.stats import parse_stop_rule

    rule = parse_stop_rule(stop_when) if stop_when else None
    if dry_run:
        if artifact is not None and (artifact.is_dir() or artifact.is_absolute() or len(artifact.parts) != 2):
            from counterpoise.models import read_artifact

            read_artifact(artifact)  # refused as the command would; what may be a hub id is not fetched
        typer.echo(
            str(
                eval_plan(
                    model, names, limit=limit, max_new_tokens=max_new_tokens, stop=rule, batch=batch, suite=chosen
                )
            )
        )
        return
    if fetch:
        from ._data import get_missing

        get_missing(names, accept=accept_licence)
    from counterpoise.evals import evaluate as measure

    from ._print import print_rows

    parts = [suite] if suite else [placed(Path(name)) if name in own else name for name in names]
    cut = [f"{name}{value}" for name, value in (("limit", limit), ("tokens", max_new_tokens)) if value]
    cut += ["bare"] if bare else []
    folder = out or default_folder("evals", model, *parts, *cut, str(rule or ""), artifact=artifact)
    result = measure(
        model, names, out=folder, run=folder.name, artifact=artifact, limit=limit, force=force,
        max_new_tokens=max_new_tokens, batch=batch, device_map=device_map, stop=rule, suite=chosen,
        bare=bare,
    )  # fmt: skip
    print_rows(result.rows, all_scorers=all_scorers)
    for name, end in result.stopped.items():
        typer.echo(f"{name}: {end}" + ("; its intervals allow for stopping" if end.early else ""))
    for name, (asked, there) in result.capped.items():
        typer.echo(f"{name}: {asked:,} of {there:,} rows, evenly spread, as suite {suite} has it", err=True)
    for name, what in result.rounded.items():
        typer.echo(f"{name}: {what}", err=True)
    if result.too_short:
        typer.echo(result.too_short, err=True)
    for name, what in result.changed.items():
        typer.echo(f"{name}: {what}", err=True)
    for name, reason in result.skipped.items():
        typer.echo(f"skipped {name}: {reason}", err=True)
    if suite and not fetch and any("counterpoise data fetch" in reason for reason in result.skipped.values()):
        typer.echo(f"counterpoise data fetch --suite {suite} gets what can be had; so does --fetch", err=True)
    typer.echo(f"results: {folder}")
