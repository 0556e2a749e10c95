"""`counterpoise data check`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from counterpoise.chat import Sample
    from counterpoise.data import Report


def check(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Training rows: LLaVA, ShareGPT, chat, prompt and response; JSON, JSONL, Parquet."
        ),
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="A benchmark or suite to compare with, or none; may be repeated.  [default: every benchmark whose "
            "rows are here]"
        ),
    ] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="Folder of the rows' images.  [default: the folder of the file]")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            help="Exit with code 1 when more than this share of the rows has a fault, such as 'benchmark_exact>0' or "
            "'near>1%'; may be repeated.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of reports, for scripts.")] = False,
    near: Annotated[
        bool, typer.Option("--near/--no-near", help="Look for near texts and images too; needs counterpoise[check].")
    ] = True,
    card: Annotated[
        bool | None,
        typer.Option("--card/--no-card", help="Write FILE's data card beside it.  [default: for Parquet files]"),
    ] = None,
) -> None:
    """Check training rows before anything is trained on them.

    Counts copies within the file and of benchmarks (equal and near texts, images, and images that look alike), empty
    and cut labels, refusals, languages, lengths, wrong numbers of images, repeated ids and rows that cannot be read.

    Examples:

    - `counterpoise data check mix.jsonl --fail-on 'benchmark_exact>0' --fail-on 'exact>1%'`

    - `counterpoise data check train.parquet --against core --json`
    """
    import json

    from counterpoise.data import check_rows, parse_check_rule, training_rows, unmet, write_card
    from counterpoise.evals.scorers import language

    rules = [parse_check_rule(each) for each in fail_on or []]
    names = _names(against)
    missed: list[str] = []
    shown = []
    for file in files:
        rows = training_rows(file, image_root)
        report = check_rows(
            rows, {name: _rows_of(name) for name in names}, refuses=_declines, language=language, near=near
        )
        _refuse_unreadable(file, report)
        missed += [f"{file}: {line}" for line in unmet(report, rules)]
        shown.append({"file": str(file), **report.json()})
        if not as_json:
            _show(file, report)
        if card if card is not None else file.suffix == ".parquet":
            typer.echo(f"data card: {write_card(file, report)}", err=True)
    if as_json:
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    for line in missed:
        typer.echo(f"failed: {line}", err=True)
    if missed:
        raise typer.Exit(1)


def _names(against: list[str] | None) -> list[str]:
    """Benchmarks to compare with. Raises InputError for one that is unknown or whose rows were asked for and are not
    here."""
    from counterpoise.base import InputError
    from counterpoise.evals import benchmark, benchmarks, suite, suites

    if against is None:
        return [name for name, each in benchmarks().items() if not each.available()]
    if "none" in against:
        if len(against) > 1:
            raise InputError("--against none: stands alone")
        return []
    found: dict[str, None] = {}
    for name in against:
        if name in suites():
            found |= dict.fromkeys(n for n in suite(name).benchmarks if not benchmark(n).available())
        elif reason := benchmark(name).available():
            raise InputError(f"{name}: {reason}")
        else:
            found[name] = None
    return list(found)


def _rows_of(name: str) -> "Iterator[Sample]":
    """The rows of a benchmark, read when they are compared."""
    from counterpoise.evals import benchmark

    yield from benchmark(name).read()


def _declines(label: str) -> bool | None:
    """By the headline scorer of refusals; None where it cannot tell."""
    from counterpoise.chat import Sample, user
    from counterpoise.evals import HEADLINE_SCORER, answered
    from counterpoise.evals.scorers import get

    value = get(HEADLINE_SCORER)(Sample("label", (user("?"),)), answered(label, "stop")).value
    return None if value is None else value == 1


def _refuse_unreadable(file: Path, report: "Report") -> None:
    """Raises InputError for a file without rows, or none of whose rows is one."""
    from counterpoise.base import InputError

    if not report.rows:
        raise InputError(f"{file}: no rows")
    if report.counts["unreadable"] == report.rows:
        raise InputError(f"none of the {report.rows:,} rows can be read; the first: {report.examples[0].detail}")


def _show(file: Path, report: "Report") -> None:
    from rich.table import Table
    from rich.text import Text

    from counterpoise.data import KINDS, MEANING

    from ._print import show

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("check", "rows", "share", "what it is", "the first"):
        table.add_column(column, overflow="fold")
    first = {each.kind: each for each in reversed(report.examples)}
    for kind in KINDS:
        count, share = report.counts[kind], report.share(kind)
        example = f"{first[kind].row}: {first[kind].detail}" if kind in first else ""
        cells = (kind, "-" if count is None else f"{count:,}", "" if share is None else f"{share:.1%}", MEANING[kind])
        table.add_row(*(Text(cell) for cell in (*cells, example)))
    typer.echo(f"{file}: {report.rows:,} rows")
    show(table)
    low, middle, high = report.words
    languages = ", ".join(f"{name} {n:,}" for name, n in list(report.languages.items())[:5])
    typer.echo(f"labels: median {middle:,} words (5 % to 95 %: {low:,} to {high:,}); languages: {languages or 'none'}")
    typer.echo(
        f"compared with {sum(report.against.values()):,} rows of {len(report.against)} benchmarks"
        + (f": {', '.join(report.against)}" if report.against else "; - means that nobody looked")
    )
    for name, reason in report.not_compared.items():
        typer.echo(f"not compared with {name}: {reason}", err=True)
