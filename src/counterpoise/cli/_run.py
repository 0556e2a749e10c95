"""`counterpoise run`."""

from pathlib import Path
from typing import Annotated

import typer

from ._align import (
    Amount,
    BenignSource,
    ConfigFile,
    DeviceMap,
    Doses,
    Fraction,
    ImageRoot,
    Method,
    RejectionSource,
    Seed,
    Settings,
    SkipBadRows,
)
from ._print import AcceptLicence, AllScorers, Fetch


def run(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name, hub id or folder of a vision-language model.")
    ] = "pocket",
    target: Annotated[
        str | None,
        typer.Option(
            help="Limits to meet, e.g. 'asr<=0.05, over_refusal<=0.10, capability_drop<=0.02'. A modality may be "
            "named: 'asr[print]<=0.05'. The method's smallest dose whose 95 % interval meets them is searched."
        ),
    ] = None,
    suite: Annotated[str, typer.Option(help="Benchmarks to measure with: smoke, core or full.")] = "core",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run.  [default: runs/MODEL-SUITE and what differs from the defaults]"),
    ] = None,
    method: Method = "rejection-mix",
    config_file: ConfigFile = None,
    settings: Settings = None,
    dose: Doses = None,
    fraction: Fraction = None,
    amount: Amount = None,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="KNOB=V1,V2", help="Values of a knob that --target tries; may be repeated."),
    ] = None,
    seed: Seed = None,
    limit: Annotated[int | None, typer.Option(help="At most so many items per benchmark.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer.  [default: each benchmark's own]")] = None,
    batch: Annotated[int, typer.Option(help="Conversations per batch of generation.")] = 64,
    device_map: DeviceMap = None,
    rejection_source: RejectionSource = None,
    benign_source: BenignSource = None,
    image_root: ImageRoot = None,
    skip_bad_rows: SkipBadRows = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan with rows, tokens and time; do nothing.")
    ] = False,
    fetch: Fetch = False,
    accept_licence: AcceptLicence = False,
    force: Annotated[
        bool, typer.Option("--force", help="Start over: remove what an earlier run left in --out.")
    ] = False,
    all_scorers: AllScorers = False,
) -> None:
    """Measure a model, correct it, measure it again, and write one report.

    The main job. Three questions are asked before and after, on the same items: how often does the model comply with
    harmful requests (in text and in images), how often does it refuse harmless ones, and what can it still do? In
    between it is aligned, by default with rejection-mix: benign image instructions, a share of them answered by one
    refusal. `--config` and `--set` reach every setting of the method and of its training.

    The folder then holds `report.html`, `scorecard.json`, `adapter/` (or `weights/`, `edit/`), `before/`, `after/` and
    `run.json`. A stopped run continues when the same command is given again; nothing is overwritten without `--force`.

    Examples:

    - `counterpoise run` (the pocket model, suite core)

    - `counterpoise run pocket --suite smoke --dry-run`

    - `counterpoise run my/model --target "asr<=0.05, over_refusal<=0.10, capability_drop<=0.02"`

    - `counterpoise run pocket --target "asr<=0.1" --grid fraction=0.1,0.2,0.4 --set train.epochs=2`

    - `counterpoise run ./my-vlm --rejection-source medical.json --benign-source mix.json --image-root images`
    """
    from counterpoise.runs import default_folder, given_config, run_main, run_plan

    others = (method if method != "rejection-mix" else "", f"limit{limit}" if limit else "")
    folder = out or default_folder("runs", model, suite, "target" if target else "", *others)
    config = given_config(
        method, model=model, suite=suite, out=folder, target=target, seed=seed, limit=limit,
        max_new_tokens=max_new_tokens, batch=batch, device_map=device_map, grids=grid or (),
        file=config_file, pairs=settings or (), doses=dose or (), named={"fraction": fraction, "amount": amount},
        sources=(rejection_source, benign_source, image_root, skip_bad_rows),
    )  # fmt: skip
    if dry_run:
        typer.echo(str(run_plan(config)))
        return
    if fetch:
        from counterpoise.evals import suite as suite_called

        from ._data import get_missing, make_folder

        make_folder()
        get_missing(suite_called(config.suite).benchmarks, accept=accept_licence)
    from counterpoise.base import read_json

    from ._print import run_table, say_report

    done = run_main(config, force=force, say=lambda line: typer.echo(line, err=True))
    run_table(done, read_json(done / "run.json"), all_scorers=all_scorers)
    say_report(done / "report.html")
