"""`counterpoise guard train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._guard_options import absent

if TYPE_CHECKING:
    from counterpoise.guard import Labelled
    from counterpoise.guard.own import Fit, Kind

FILES: "dict[Kind, str]" = {"tiny": "tiny.safetensors", "small": "guard.json", "probe": "measured.json"}
"""Whose presence says that a guard is there; a probe is done when it is measured."""


def train(
    kind: Annotated[str, typer.Argument(metavar="tiny|small|probe", help="Which guard of ours to fit.")],
    data: Annotated[
        str,
        typer.Option(
            help="JSONL or CSV: prompt, label (safe or unsafe), answer, images, id, group. Or twins: the training "
            "families of Twins, measured on its validation families. A probe needs 10 safe and 10 unsafe rows with "
            "as many images, of 5 groups, after what is held out."
        ),
    ],
    model: Annotated[
        str, typer.Argument(help="small: what it is made of. probe: the model whose states are read.")
    ] = "pocket",
    out: Annotated[Path | None, typer.Option(help="Folder for the guard.  [default: guards/KIND]")] = None,
    image_root: Annotated[Path | None, typer.Option(help="Where image paths start.  [default: DATA's folder]")] = None,
    artifact: Annotated[
        Path | None,
        typer.Option("--artifact", "--adapter", help="What a correction left, on the model that a probe reads."),
    ] = None,
    held_out: Annotated[float, typer.Option(help="Share of the groups that is measured and never trained on.")] = 0.2,
    over_block: Annotated[
        float | None,
        typer.Option(help="Share of safe rows kept back that a probe's threshold may block.  [default: 0.1]"),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows (small).  [default: 1]")] = None,
    seed: Annotated[int, typer.Option(help="Of the split, the order and the initial weights.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Start again instead of continuing or keeping.")] = False,
) -> None:
    """Fit a guard of ours on labelled rows, and measure it on rows it never saw.

    Rows with the same `group` (by default: the same prompt and images) are never on both sides. The result is used as
    `tiny:FOLDER`, `small:FOLDER` or `probe:FOLDER` wherever a guard is named.

    Examples:

    - `counterpoise guard train tiny --data rows.jsonl`

    - `counterpoise guard train small --data rows.csv --image-root pictures --epochs 2`

    - `counterpoise guard train probe my/model --data twins`
    """
    from counterpoise.base import InputError, check_writable
    from counterpoise.guard import counted
    from counterpoise.guard.own import train_guard

    found = next((name for name in FILES if name == kind), None)
    if found is None:
        raise InputError.unknown("guard to train", kind, tuple(FILES))
    for name, given, kinds in (("--artifact", artifact, ("probe",)), ("--over-block", over_block, ("probe",)),
                               ("--epochs", epochs, ("small",))):  # fmt: skip
        if given is not None and kind not in kinds:
            raise InputError(f"guard train {kind}: {name} is for {', '.join(kinds)}")
    folder = out or Path("guards") / kind
    absent(folder / FILES[found], force=force or kind == "small")
    check_writable(folder)
    rows, measure = _rows(data, image_root)
    typer.echo(f"{Path(data).name}: {counted([*rows, *(measure or ())])}")
    fit = train_guard(
        found, rows, folder, source=Path(data).name, held_out=held_out, measure=measure, seed=seed, model=model,
        artifact=artifact, epochs=epochs, over_block=over_block, resume=not force,
    )  # fmt: skip
    _print(fit)
    typer.echo(f"guard: {kind}:{folder}")


def _rows(data: str, image_root: Path | None) -> "tuple[list[Labelled], list[Labelled] | None]":
    """Rows to train on, and rows to measure where the data itself says which."""
    from counterpoise.guard import read_labelled

    if data != "twins":
        return read_labelled(Path(data), image_root), None
    from counterpoise.data import twins
    from counterpoise.guard import from_sample

    learn, check = ([from_sample(row) for row in twins.samples(split)] for split in ("train", "validation"))
    return learn, check


def _print(fit: "Fit") -> None:
    typer.echo(f"trained on {fit.trained} rows ({fit.trained_on})")
    typer.echo(f"measured on {fit.held_out} others ({fit.measured_on})")
    for each in fit.rows:
        kind, caught, blocked, unknown = each.cells()
        rank = fit.auc.get(kind)
        auc = f"; AUC {rank.value:.3f} ({rank.low:.3f} to {rank.high:.3f})" if rank else ""
        typer.echo(f"  {kind}: caught {caught}; over-blocked {blocked}; unknown {unknown}{auc}")
    for each in fit.categories:
        kind, caught, blocked, unknown = each.cells()
        typer.echo(f"  category {kind}: over-blocked {blocked}; caught {caught}; unknown {unknown}")
    if fit.ece is not None:
        typer.echo(f"calibration error (ECE, 10 bins): {fit.ece:.3f}")
    if (cost := fit.cost) is not None:
        typer.echo(
            f"cost: {cost.added_ms:.2f} ms beside a pass of {cost.pass_ms:.0f} ms that is made anyway "
            f"({cost.share:.2%}); alone {cost.alone_ms:.0f} ms (medians of {cost.n}, one at a time)"
        )
