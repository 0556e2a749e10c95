"""`counterpoise safeground`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from counterpoise.evals.safeground import Measured


def safeground(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Hub id or folder of a dual encoder: CLIP, SigLIP.")],
    quadruples: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with quadruples.jsonl and its images.  [default: validation families of Twins, as prints]",
            show_default=False,
        ),
    ] = None,
    artifact: Annotated[
        Path | None, typer.Option(metavar="EDIT", help="Edit to measure as well, compared with the model without it.")
    ] = None,
    zero_shot: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with one folder of images per class.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first so many quadruples.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images, or texts, a forward pass.")] = 128,
    out: Annotated[Path | None, typer.Option(help="Folder for the result.  [default: runs/MODEL-safeground]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be embedded; do nothing.")] = False,
) -> None:
    """Measure which item a dual encoder prefers: the safe or the unsafe one of a pair.

    A quadruple is a safe and an unsafe image and a safe and an unsafe text about the same scene. Only similarities
    inside a quadruple are compared; a tie counts as unsafe. Recall, the older metric, stands beside the preferences.

    Examples:

    - `counterpoise safeground openai/clip-vit-large-patch14 --quadruples visu-test`

    - `counterpoise align my/clip --method uwm --set quadruples=visu-train --out runs/uwm`

    - `counterpoise safeground my/clip --quadruples visu-test --artifact runs/uwm/edit`
    """
    from itertools import islice

    from counterpoise.base import notice
    from counterpoise.data import image_classes, read_quadruples
    from counterpoise.data.twins import families
    from counterpoise.data.twins import quadruples as own
    from counterpoise.evals.safeground import measure
    from counterpoise.models import load_dual, remove_edit

    folder = out or Path("runs") / f"{Path(model).name}-safeground"
    rows = list(islice(own(families("validation")) if quadruples is None else read_quadruples(quadruples), limit))
    classes = None if zero_shot is None else image_classes(zero_shot)
    if dry_run:
        runs = "" if artifact is None else f", by {model} with {artifact} and without"
        typer.echo(f"counterpoise safeground {model}: into {folder}")
        typer.echo(f"  quadruples: {len(rows):,}, so {2 * len(rows):,} images and {2 * len(rows):,} texts{runs}")
        if classes is not None:
            typer.echo(f"  zero-shot: {sum(map(len, classes.values())):,} images of {len(classes):,} classes")
        return
    encoder = load_dual(model, artifact=artifact)
    done = []
    if artifact is not None:
        after = measure(encoder, rows, folder / "after", run="after", classes=classes, batch=batch)
        encoder = remove_edit(encoder)
        done.append(after)
    done.insert(0, measure(encoder, rows, folder / ("before" if done else ""), classes=classes, batch=batch))
    _show(done, model)
    if quadruples is None:
        notice("these are Twins' prints: unsafe as texts in images; for pictures give --quadruples")
    typer.echo(f"results: {folder}")


def _show(done: "list[Measured]", model: str) -> None:
    """The table: per cent with intervals, and the paired change where an edit was measured too."""
    from rich.table import Table

    from counterpoise.evals.safeground import MEANING, compared

    from ._print import show

    table = Table(box=None, pad_edge=False)
    for title in ("metric", "", "before" if len(done) > 1 else "value", "95 %", "n"):
        table.add_column(title, justify="left" if title in ("metric", "") else "right")
    changes = compared(done[0], done[1]) if len(done) > 1 else {}
    if changes:
        for title in ("after", "change (95 %)", "p"):
            table.add_column(title, justify="right")
    after = {row.metric: row for row in done[-1].rows(model, "after")}
    for row in done[0].rows(model, "before"):
        cells = [row.metric, MEANING.get(row.metric, "")]
        cells += [_percent(row.value), f"{_percent(row.ci_low)} to {_percent(row.ci_high)}", str(row.n_scored)]
        if row.metric in changes:
            change, p = changes[row.metric]
            cells += [_percent(after[row.metric].value)]
            cells += [f"{100 * change.value:+.2f} ({100 * change.low:+.2f} to {100 * change.high:+.2f})", f"{p:.3f}"]
        table.add_row(*cells)
    show(table)
    unscored = f"; {done[0].unscored} unscored (empty text)" if done[0].unscored else ""
    typer.echo(f"per cent, scored by safeground:v1{unscored}" + ("; p Holm-adjusted" if changes else ""))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
