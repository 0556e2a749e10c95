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


Limit = Annotated[int | None, typer.Option(min=4, help="Families of each split and modality.  [default: 60]")]
Modalities = Annotated[
    list[str] | None,
    typer.Option("--modality", help="text, print, picture or pair; repeat it.  [default: text, print]"),
]


Batch = Annotated[int, typer.Option(min=1, help="Prompts a pass.")]
DType = Annotated[str, typer.Option(help="float32 is what the analyses are best read in.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be read, with its cost; do nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the study that --out holds.")]


@app.command("weights")
def weights(
    base: Annotated[str, typer.Argument(metavar="BASE", help='The model before: "pocket", a hub id, a folder.')],
    tuned: Annotated[Path, typer.Argument(metavar="TUNED", help="What a correction left: adapter, whole model, edit.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the result.  [default: runs/BASE-weights-TUNED]")] = None,
    modality: Modalities = None,
    limit: Limit = 60,
    batch: Batch = 8,
    alpha: Annotated[
        list[float] | None, typer.Option(help="Also write the correction at so many times its size; repeat it.")
    ] = None,
    dtype: DType = "float32",
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """What a correction changed: clusters by layer, where the change points, what it answers, sensitivity.

    With --alpha the correction is written at other sizes, as artifacts that `counterpoise eval --artifact` measures:
    below 1 between base and correction, above 1 beyond it. A stopped study goes on when the command is given again.

    Examples:

    - `counterpoise study weights pocket runs/pocket/adapter --alpha 0.5 --alpha 1.5`
    """
    from counterpoise.runs import StudyConfig, default_folder, study_plan, study_weights

    folder = out or default_folder("runs", base, "weights", artifact=tuned)
    config = StudyConfig(base, tuned, folder, tuple(modality or ()), limit, batch, dtype, tuple(alpha or ()))
    if dry_run:
        typer.echo(study_plan("weights", config))
        return
    said, report = study_weights(config, force=force)
    for line in said:
        typer.echo(line)
    typer.echo(f"report: {report}")


@app.command("directions")
def directions(
    model: Annotated[str, typer.Argument(metavar="MODEL", help='"pocket", a hub id, a folder, an artifact.')],
    artifact: Annotated[Path | None, typer.Option(help="What a correction left, to put on it.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the result.  [default: runs/MODEL-directions-ARTIFACT]")
    ] = None,
    modality: Modalities = None,
    limit: Limit = 60,
    batch: Batch = 8,
    dtype: DType = "float32",
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Does the model know, and does it act on it? The refusal direction of text, read on images, beside a probe.

    A stopped study goes on when the same command is given again.

    Examples:

    - `counterpoise study directions pocket --modality text --modality print --modality picture`
    """
    from counterpoise.runs import StudyConfig, default_folder, study_directions, study_plan

    folder = out or default_folder("runs", model, "directions", artifact=artifact)
    config = StudyConfig(model, artifact, folder, tuple(modality or ()), limit, batch, dtype)
    if dry_run:
        typer.echo(study_plan("directions", config))
        return
    results, report = study_directions(config, force=force)
    for kind, row in results["modalities"].items():
        said = ", ".join(
            f"{name} {at['auc']:.2f} ({at['low']:.2f} to {at['high']:.2f})" for name, at in row["auc"].items()
        )
        typer.echo(f"{kind}: AUC of {said}")
    typer.echo(f"report: {report}")
