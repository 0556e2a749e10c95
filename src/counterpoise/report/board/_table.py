"""Results as tables: value with interval, n, rank interval, scorer and source, never one without the others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .._words import interval, percent
from .._words import text as e
from ._calibrated import Calibrations, judged_by
from ._entry import Entry
from ._metrics import title
from ._shell import link
from ._standing import Standing

Standings = Mapping[str, Standing]


class Ranks(NamedTuple):
    """What a rank is shown with."""

    standings: Standings
    calibrations: Calibrations


def table(entries: Sequence[Entry], ranks: Ranks, *, columns: Sequence[str], label: str) -> str:
    """One row per entry. `columns` out of subject, task, value, n, rank, scorer, source."""
    head = "".join(f'<th scope="col" data-key="{name}">{HEADS[name]}</th>' for name in columns)
    body = "".join(_row(entry, ranks, columns) for entry in entries)
    return (
        f'<table class="board sortable" aria-label="{e(label)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


HEADS = {
    "subject": "Model and method",
    "task": "Benchmark and metric",
    "value": "Result",
    "n": "Scored",
    "rank": "Rank, and its judge",
    "scorer": "Scorer",
    "source": "Source",
}


def _row(entry: Entry, ranks: Ranks, columns: Sequence[str]) -> str:
    standing = ranks.standings[entry.hash]
    cells = {
        "subject": lambda: (subject(entry), entry.name.lower()),
        "task": lambda: (task(entry), f"{entry.benchmark} {entry.split} {entry.metric}".lower()),
        "value": lambda: (value(entry), "" if entry.value is None else f"{entry.value:.6f}"),
        "n": lambda: (count(entry), str(entry.n or "")),
        "rank": lambda: (
            rank(standing) + judged_by(entry, ranks.calibrations),
            "" if standing.low is None else f"{standing.low}.{standing.high:04d}",
        ),
        "scorer": lambda: (e(entry.scorer), entry.scorer.lower()),
        "source": lambda: (source(entry), entry.date),
    }
    made = []
    for name in columns:
        body, key = cells[name]()
        kind = {"value": "num", "n": "num", "rank": "num", "scorer": "scorer"}.get(name, "")
        tag = 'th scope="row"' if name == columns[0] else "td"
        made.append(
            f'<{tag} class="{kind}" data-label="{HEADS[name]}" data-sort="{e(key)}"><div>{body}</div></{tag[:2]}>'
        )
    facts = f'data-kind="{entry.kind}" data-benchmark="{e(entry.benchmark)}" data-metric="{e(entry.metric)}"'
    return f"<tr {facts}>{''.join(made)}</tr>"


def subject(entry: Entry) -> str:
    method = f"<small>+ {link('method', entry.method)}</small>" if entry.method else ""
    return f"{link('model', entry.model)}{method}"


def task(entry: Entry) -> str:
    where = " · ".join(part for part in (entry.split, entry.modality, f"revision {entry.revision}") if part != "all")
    return f"{link('benchmark', entry.benchmark)}, {e(title(entry.metric))}<small>{e(where)}</small>"


def value(entry: Entry) -> str:
    """`12.3 %` with its interval, or the words that there is none. The arrow says which way is better."""
    arrow = "↓" if entry.direction == "lower" else "↑"
    words = f'<abbr title="{entry.direction} is better">{arrow}</abbr>'
    if entry.value is None:
        return f"– {words}<small>nothing scored</small>"
    how = e(entry.ci_method)
    span = interval(entry.ci_low, entry.ci_high)
    line = (
        f'<small class="ci" title="{how}">{span}</small>'
        if span
        else f"<small>no interval{how.removeprefix('none')}</small>"
    )
    return f"{percent(entry.value)} {words}{line}"


def count(entry: Entry) -> str:
    body = "not stated" if entry.n is None else f"{entry.n:,}"
    for number, word in ((entry.n_unscored, "unscored"), (entry.n_empty, "empty")):
        if number:
            body += f"<small>{number:,} {word}</small>"
    return body


def rank(standing: Standing) -> str:
    """`2 to 5 of 9` with how often it is first; a place by value alone is marked, and no rank says why."""
    if standing.low is None:
        return f"–<small>{e(standing.why)}</small>"
    if standing.point:
        return f"({standing.low}) of {standing.of}<small>{e(standing.why)}</small>"
    span = str(standing.low) if standing.low == standing.high else f"{standing.low} to {standing.high}"
    often = round(100 * (standing.first or 0.0))
    first = f"<small>first in {often} %</small>" if often else ""
    return f"{span} of {standing.of}{first}"


def source(entry: Entry) -> str:
    words = "Measured here" if entry.kind == "measured" else "Reported"
    name = e(entry.source)
    if entry.url:
        name = f'<a href="{e(entry.url)}" rel="noreferrer noopener">{name}</a>'
    where = f", {e(entry.table)}" if entry.table else ""
    note = f". {e(entry.note)}" if entry.note else ""
    date = "date not stated" if entry.date == "not stated" else entry.date
    return f'<span class="badge">{words}</span> {name}{where}<small>{e(date)}{note}</small>'
