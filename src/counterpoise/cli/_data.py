"""`counterpoise data`: what can be fetched, fetching it with its licence shown, checking it."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._mis import build_set

if TYPE_CHECKING:
    from counterpoise.data.sources import Fetched, Plan, Source

app = typer.Typer(
    no_args_is_help=True,
    help="""Public rows on request: list, fetch, verify.

Nothing is ever downloaded unasked. Example: `counterpoise data fetch --suite core`""",
)

app.command("mis")(build_set)

ACCEPT = "--accept-licence"


@app.command("list")
def list_sources(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of objects, for scripts.")] = False,
) -> None:
    """List every source: what it serves, whether it is here, licence, gate, size and pinned revision.

    An empty size or revision is not known before the first fetch, which records both in the data card.

    Example: `counterpoise data list`
    """
    import json

    from counterpoise.data import data_home
    from counterpoise.data.sources import present
    from counterpoise.evals import all_sources, benchmarks

    root = data_home()
    uses: dict[str, list[str]] = {}
    for name, card in benchmarks().items():
        for each in card.data:
            uses.setdefault(each.name, []).append(name)
    entries: list[dict[str, Any]] = [
        {
            "name": each.name,
            "title": each.title,
            "serves": uses.get(each.name, list(each.serves)),
            "here": present(each, root),
            "licence": each.licence,
            "gate": each.gate,
            "size": each.size,
            "source": each.origin.place,
            "revision": each.origin.revision,
            "note": each.note,
        }
        for each in all_sources().values()
    ]
    if as_json:
        typer.echo(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    from ._print import show as print_table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "here", "gate", "size", "revision", "licence", "source", "serves"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        revision, serves = str(entry["revision"] or ""), entry["serves"]
        shown = ("yes" if entry["here"] else "no", "yes" if entry["gate"] else "no", _bytes(entry["size"]))
        cells = (entry["name"], *shown, revision[:12], entry["licence"], entry["source"], ", ".join(serves))
        table.add_row(*(Text(str(cell)) for cell in cells))
    print_table(table)
    typer.echo(f"\n{len(entries)} sources; the data folder is {root} (COUNTERPOISE_DATA names another one)")


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Sources, or benchmarks.")] = None,
    suite: Annotated[
        str | None, typer.Option(help="All sources of a suite's benchmarks; see `counterpoise list suites`.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option(ACCEPT, help="Accept the licences shown without being asked, for scripts.")
    ] = False,
) -> None:
    """Fetch rows into the data folder, after showing licence, gate and size and asking once.

    Every file is checked against its pinned SHA-256, or against git's own hash at the pinned commit; where nothing was
    known before, the first fetch records revision and hashes in the data card, and later ones must agree with it.
    Stopped anywhere, the same command continues. Gated sets need the terms accepted on their page and a token
    (`hf auth login`).

    Examples:

    - `counterpoise data fetch xstest strongreject`

    - `counterpoise data fetch --suite core --accept-licence`
    """
    from counterpoise.base import InputError
    from counterpoise.evals import all_sources, sources_of
    from counterpoise.evals import suite as suite_called

    if not names and not suite:
        raise InputError("data fetch: give NAME... or --suite NAME; `counterpoise data list` shows the names")
    make_folder()
    known = all_sources()
    wanted = [each for name in names or [] for each in _sources(name, known)]
    wanted += sources_of(suite_called(suite).benchmarks) if suite else []
    done = get(wanted, accept=accept_licence)
    if done.failed:
        lines = [f"{name}: {reason}" if not reason.startswith(name) else reason for name, reason in done.failed.items()]
        for line in lines[:-1]:
            typer.echo(f"error: {line}", err=True)
        raise InputError(lines[-1])


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Sources.  [default: all]")] = None,
) -> None:
    """Check every fetched file against the hash in its data card.

    Example: `counterpoise data verify`
    """
    from counterpoise.base import InputError
    from counterpoise.data import data_home
    from counterpoise.data.sources import differences, interrupted, read_cards

    root = data_home()
    cards = {card.name: card for card in read_cards(root)}
    if absent := [name for name in names or [] if name not in cards]:
        raise InputError(f"{absent[0]}: no data card in {root}; `counterpoise data fetch {absent[0]}` makes it")
    wrong: list[str] = []
    for name, card in cards.items():
        if names and name not in names:
            continue
        found = differences(root, card)
        if interrupted(root, name):
            found.insert(0, "a fetch was stopped while it put files in place")
        typer.echo(
            f"{name}: " + (f"{len(card.files):,} files as fetched, {card.revision[:12]}" if not found else "WRONG")
        )
        for line in found[:10]:
            typer.echo(f"  {line}")
        if len(found) > 10:
            typer.echo(f"  and {len(found) - 10:,} more")
        wrong += [name] if found else []
    if wrong:
        raise InputError(
            f"{len(wrong)} of {len(cards)} sources are not as fetched; counterpoise data fetch {' '.join(wrong)}"
        )
    typer.echo(f"{len(names or cards)} sources in {root}, all files as fetched")


@app.command()
def where() -> None:
    """Print the data folder.

    Example: `counterpoise data where`
    """
    from counterpoise.data import data_home

    typer.echo(data_home())


def get(sources: "Sequence[Source]", *, accept: bool) -> "Fetched":
    """Fetch sources into the data folder, print what came of each, and return it."""
    from counterpoise.data import data_home
    from counterpoise.data.sources import fetch_all, folded

    root = data_home()
    done = fetch_all(list(folded(sources)), root, lambda plans: _ask(plans, accept))
    for name in done.here:
        typer.echo(f"{name}: already here", err=True)
    for card in done.done:
        typer.echo(
            f"{card.name}: {len(card.files):,} files, {_bytes(card.size)}; {root / 'cards' / card.name}.md", err=True
        )
    return done


def make_folder() -> None:
    """The data folder, so that a COUNTERPOISE_DATA that is not there yet can be fetched into."""
    from counterpoise.data import data_home

    data_home().mkdir(parents=True, exist_ok=True)


def get_missing(benchmarks: Sequence[str], *, accept: bool) -> None:
    """For `--fetch`: the sources of benchmarks whose rows are not here. What cannot be had is said, and skipped."""
    from counterpoise.evals import sources_of

    if wanted := sources_of(benchmarks, missing=True):
        for name, reason in get(wanted, accept=accept).failed.items():
            typer.echo(f"not fetched: {reason if reason.startswith(name) else f'{name}: {reason}'}", err=True)


def _sources(name: str, known: "dict[str, Source]") -> "list[Source]":
    """A source by its name, or those of a benchmark. Raises InputError that suggests the nearest name."""
    from counterpoise.base import InputError
    from counterpoise.evals import benchmarks, sources_of

    found = [known[name]] if name in known else []
    if name in benchmarks():
        found += sources_of([name])
        if not found:
            raise InputError(f"{name}: its rows are part of this package; there is nothing to fetch")
    if not found:
        raise InputError.unknown("source", name, sorted(known))
    return found


def _ask(plans: "Sequence[Plan]", accept: bool) -> str:
    """Show what would be fetched under which terms; how they were accepted. Raises InputError or typer.Abort."""
    from counterpoise.base import InputError
    from counterpoise.data import data_home

    typer.echo(f"To fetch into {data_home()}:", err=True)
    for each in plans:
        source, size = each.source, _bytes(each.size) or "size not stated"
        gate = f"; gated: {source.gate}" if source.gate else ""
        typer.echo(
            f"- {source.name} ({source.title}): {len(each.files):,} files, {size}; licence: {source.licence}{gate}",
            err=True,
        )
        typer.echo(
            f"  {source.page} at {each.listing.revision[:12]}{f'. {source.note}' if source.note else ''}", err=True
        )
    total = sum(each.size or 0 for each in plans)
    typer.echo(
        f"{len(plans)} sources, {_bytes(total)} to download. Their licences are their authors' conditions.", err=True
    )
    if accept:
        return ACCEPT
    if not sys.stdin.isatty():
        raise InputError(f"nobody to ask for the licences: give {ACCEPT} when you accept them")
    if not typer.confirm("Accept these licences and fetch?", err=True):
        raise InputError("not accepted; nothing was fetched")
    return "asked"


def _bytes(size: int | None) -> str:
    """A size with its unit, in powers of 1,000."""
    if size is None:
        return ""
    value, units = float(size), ["bytes", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if units[0] == "bytes" else f"{value:,.1f} {units[0]}"
