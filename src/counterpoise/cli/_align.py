"""`counterpoise align`, and the options about a method that `counterpoise run` shares."""

from pathlib import Path
from typing import Annotated

import typer

Method = Annotated[str, typer.Option(help="Which published method; see `counterpoise list methods`.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file with settings of the method; those of training under `train:`."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as train.learning_rate=1e-4; may be repeated."),
]
Doses = Annotated[
    list[str] | None,
    typer.Option("--dose", metavar="KNOB=VALUE", help="A value of one of the method's dose knobs; may be repeated."),
]
Fraction = Annotated[
    float | None, typer.Option(help="Short for --dose fraction=VALUE: the rejection share of the mix, 0 to 1.")
]
Amount = Annotated[int | None, typer.Option(help="Short for --dose amount=VALUE: the rows of the mix.")]
RejectionSource = Annotated[Path | None, typer.Option(help="Your LLaVA-format JSON whose answers become refusals.")]
BenignSource = Annotated[Path | None, typer.Option(help="Your LLaVA-format JSON that keeps its answers.")]
ImageRoot = Annotated[Path | None, typer.Option(help="Folder of the images of both sources.")]
SkipBadRows = Annotated[
    int | None,
    typer.Option(
        min=0, help="Leave out up to so many bad rows of each source, and list them.  [default: 0]", show_default=False
    ),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        metavar="MAP",
        help="Spread a model that is larger than one GPU over all of them, main memory and disk: auto, balanced, "
        "balanced_low_0 or sequential.",
    ),
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="Seed of the data draw and of training.  [default: 0]", show_default=False)
]


def align(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name (pocket), hub id or folder of a vision-language model.")
    ],
    method: Method = "rejection-mix",
    config_file: ConfigFile = None,
    settings: Settings = None,
    dose: Doses = None,
    fraction: Fraction = None,
    amount: Amount = None,
    rejection_source: RejectionSource = None,
    benign_source: BenignSource = None,
    image_root: ImageRoot = None,
    skip_bad_rows: SkipBadRows = None,
    stage: Annotated[
        str | None, typer.Option(help="Of a method with stages: one alone. safe-rlhf-v: reward, cost or ppo.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the result.  [default: runs/MODEL-METHOD]")] = None,
    seed: Seed = None,
    device_map: DeviceMap = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan with rows, tokens, time and settings; do nothing.")
    ] = False,
) -> None:
    """Correct a model with a published method and save what it leaves: an adapter, weights or an edit.

    Without sources the method's own data are used. With them, both files are LLaVA / ShareGPT JSON or JSON Lines.
    Every setting of the method and of its training is reached by `--config` and `--set`, which wins; all that is wrong
    with them is said at once, and `run.json` holds them as they were used. Training resumes from its last checkpoint
    when the same command is given again, even after a kill.

    Examples:

    - `counterpoise align pocket --method rejection-mix`

    - `counterpoise align pocket --set train.learning_rate=1e-4 --set n_rejection=300 --dry-run`

    - `counterpoise align pocket --method safe-rlhf-v --stage reward`

    - `counterpoise align my/model --fraction 0.1 --rejection-source medical.json --benign-source mix.json
      --image-root images --out runs/mine`
    """
    from counterpoise.base import launched_rank
    from counterpoise.runs import RealStages, align_plan, default_folder, given_config, is_adapter

    folder = out or default_folder("runs", model, method)
    pairs = [*(settings or ()), *([f"stage={stage}"] if stage else ())]
    config = given_config(
        method, model=model, out=folder, seed=seed, device_map=device_map,
        file=config_file, pairs=pairs, doses=dose or (), named={"fraction": fraction, "amount": amount},
        sources=(rejection_source, benign_source, image_root, skip_bad_rows),
    )  # fmt: skip
    if dry_run:
        typer.echo(str(align_plan(config)))
        return
    made = RealStages().align(config, folder, dose=config.dose)
    if launched_rank():  # the first process says it
        return
    typer.echo(f"{made.kind}: {made.path}")
    if method == "safe-rlhf-v" and (kind := made.path.parent.name) in ("reward", "cost"):  # it scores, no answers
        typer.echo(_held_out(made.path.parent / "held_out.json"))
        if kind == "cost":
            typer.echo(f"try it: counterpoise guard check cost:{made.path.parent} REQUEST --answer REPLY")
        return
    joined = made.kind == "adapter" and is_adapter(Path(model))  # it names its base itself
    what = made.path if joined else f"{model} --artifact {made.path}"
    typer.echo(f"measure it: counterpoise eval {what} --suite core")


def _held_out(file: Path) -> str:
    """What a reward or cost model was measured to be worth, in one line."""
    from counterpoise.base import read_json

    if not file.is_file():
        return "held out: no pairs, so nothing says what it is worth; give some with --set held_out=FILE"
    metrics, said = read_json(file)["metrics"], []
    for name in ("ranking", "ranking_with_unsafe", "sign"):
        if (one := metrics.get(name)) and one["value"] is not None:
            ends = f"{100 * one['ci_low']:.0f} to {100 * one['ci_high']:.0f} %"
            said.append(f"{name.replace('_', ' ')} {100 * one['value']:.0f} % ({ends}, n {one['n']})")
    if metrics.get("auc") is not None:
        said.append(f"AUC {metrics['auc']:.2f}")
    if (own := metrics.get("own")) and own["auc"] is not None:
        said.append(f"AUC of the model's own replies {own['auc']:.2f} (n {own['replies']})")
    return "held out: " + ", ".join(said) + f"; all of it: {file}"
