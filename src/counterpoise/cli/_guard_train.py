"""`counterpoise guard train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from counterpoise.guard.own import Measured


def train(
    kind: Annotated[str, typer.Argument(metavar="tiny|small", help="Which guard of ours to fit.")],
    data: Annotated[
        Path, typer.Option(help="JSONL or CSV: prompt, label (safe or unsafe), answer, images, id, group.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for the guard.  [default: guards/KIND]")] = None,
    image_root: Annotated[Path | None, typer.Option(help="Where image paths start.  [default: DATA's folder]")] = None,
    model: Annotated[str, typer.Option(help="Model that the small guard is made of.")] = "pocket",
    held_out: Annotated[float, typer.Option(help="Share of the groups that is measured and never trained on.")] = 0.2,
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows (small).  [default: 1]")] = None,
    seed: Annotated[int, typer.Option(help="Of the split, the order and the initial weights.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Start again instead of continuing or keeping.")] = False,
) -> None:
    """Fit the tiny or the small guard on your own labelled rows, and measure it on rows it never saw.

    Rows with the same `group` (by default: the same prompt and images) are never on both sides. The result is used as
    `tiny:FOLDER` or `small:FOLDER` wherever a guard is named.

    Examples:

    - `counterpoise guard train tiny --data rows.jsonl`

    - `counterpoise guard train small --data rows.csv --image-root pictures --epochs 2`
    """
    from counterpoise.base import InputError
    from counterpoise.guard import read_labelled
    from counterpoise.guard.own import train_guard

    if kind not in ("tiny", "small"):
        raise InputError.unknown("guard to train", kind, ("tiny", "small"))
    folder = out or Path("guards") / kind
    file = folder / ("tiny.safetensors" if kind == "tiny" else "guard.json")
    if file.is_file() and kind == "tiny" and not force:
        raise InputError(f"{file}: exists; choose another --out or give --force")
    rows = read_labelled(data, image_root)
    fit = train_guard(
        "tiny" if kind == "tiny" else "small", rows, folder, source=data.name, held_out=held_out, seed=seed,
        model=model, epochs=epochs, resume=not force,
    )  # fmt: skip
    typer.echo(f"trained on {fit.trained} rows, measured on {fit.held_out} others")
    _print(fit.rows)
    if fit.ece is not None:
        typer.echo(f"calibration error (ECE, 10 bins): {fit.ece:.3f}")
    typer.echo(f"guard: {kind}:{folder}")


def _print(rows: "list[Measured]") -> None:
    for each in rows:
        kind, caught, blocked, unknown = each.cells()
        typer.echo(f"  {kind}: caught {caught}; over-blocked {blocked}; unknown {unknown}")
