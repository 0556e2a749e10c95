"""`counterpoise rewrite`."""

from pathlib import Path
from typing import Annotated

import typer


def rewrite(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="Table with a column of texts.")],
    model: Annotated[str, typer.Option(help="Name (pocket), hub id or folder of a chat model.")] = "pocket",
    artifact: Annotated[
        Path | None,
        typer.Option("--artifact", "--adapter", metavar="DIR", help="What `align --method sr-llm` made for it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the result.  [default: runs/FILE-rewritten]")] = None,
    column: Annotated[
        str | None,
        typer.Option(help="Column of the texts.  [default: unsafe_text, biased_text or text]", show_default=False),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Inspect model that is asked for bias, toxicity and meaning kept."),
    ] = None,
) -> None:
    """Rewrite the texts of a CSV file politely and fairly, and show what changed.

    Writes `rewritten.csv` (all columns and rows in their order, the rewrite, its status, the meaning that was kept) and
    `differences.html`. A refusal, a reply that was cut or broken, and a text that is too long are statuses of their
    own, never rewrites. A run that was stopped continues when given again, and generates no text twice.

    Examples:

    - `counterpoise align pocket --method sr-llm --out runs/rewriter`

    - `counterpoise rewrite comments.csv --model pocket --adapter runs/rewriter/adapter --out rewritten`
    """
    from counterpoise.models import Engine, load
    from counterpoise.runs import rewrite_file

    engine = Engine(load(model, artifact=str(artifact) if artifact else None))
    try:
        folder = out or Path("runs") / f"{file.stem}-rewritten"
        found = rewrite_file(file, engine, folder, column=column, judge=judge)
    finally:
        engine.close()
    typer.echo(", ".join(f"{count} {status}" for status, count in found.counts.items()))
    if found.meaning is not None:
        typer.echo(f"meaning kept (mean cosine of rewritten and unchanged rows): {found.meaning:.3f}")
    typer.echo(f"table: {found.table}")
    typer.echo(f"page: {found.page}")
