"""The scorecard as an HTML table that turns into cards on a narrow screen."""

from collections.abc import Sequence
from itertools import groupby

from counterpoise.base import Row

from ._change import Change
from ._words import bounds, interval, metric_name, percent, points, reasons, unscored_share
from ._words import text as e

_VERDICTS = {"better": "better", "worse": "worse", "unclear": "unclear", "not measured": "not measured"}


def table(changes: Sequence[Change], *, single: bool) -> str:
    """One body per benchmark. `single`: one evaluation, no comparison columns."""
    heads = (
        ["Metric", "Value", "Scored", "Scorer"]
        if single
        else ["Metric", "Before", "After", "Change", "Scored", "Scorer"]
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    order = ("asr", "broken", "over_refusal", "discrimination", "modality_gap")
    rank = {name: place for place, name in enumerate(order)}
    first: dict[str, int] = {}  # safety benchmarks first, each with its metrics together
    for change in changes:
        name = change.before.benchmark
        first[name] = min(first.get(name, len(rank)), rank.get(change.before.metric, len(rank)))
    ordered = sorted(
        changes,
        key=lambda c: (first[c.before.benchmark], c.before.benchmark, rank.get(c.before.metric, len(rank))),
    )
    bodies = []
    for benchmark, group in groupby(ordered, key=lambda change: change.before.benchmark):
        rows = "".join(_row(change, single=single) for change in group)
        bodies.append(
            f'<tbody class="group"><tr><th class="name" scope="rowgroup" colspan="{len(heads)}">{e(benchmark)}</th>'
            f"</tr>{rows}</tbody>"
        )
    return f"<table><thead><tr>{head}</tr></thead>{''.join(bodies)}</table>"


def _row(change: Change, *, single: bool) -> str:
    row = change.before
    where = " · ".join(part for part in (row.modality, row.split) if part not in ("all", ""))
    name = f'<th scope="row">{e(metric_name(row.metric))}<small>{e(where)}</small></th>'
    if single:
        cells = _cell("Value", _rate(change, after=False))
    else:
        cells = _cell("Before", _rate(change, after=False)) + _cell("After", _rate(change, after=True))
        cells += _cell("Change", _difference(change))
    return f"<tr>{name}{cells}{_cell('Scored', _count(change, single=single))}{_scorer(row)}</tr>"


def _cell(label: str, body: str) -> str:
    return f'<td class="num" data-label="{label}"><div>{body}</div></td>'


def _scorer(row: Row) -> str:
    note = "<small>official</small>" if row.official else ""
    return f'<td class="scorer" data-label="Scorer"><div>{e(row.scorer)}{note}</div></td>'


def _rate(change: Change, *, after: bool) -> str:
    row = change.after if after else change.before
    body = percent(row.value)
    if row.ci_low is not None:
        body += f"<small>{interval(row.ci_low, row.ci_high)}</small>"
    case = bounds(row)
    if case and unscored_share(row) > 0.02:
        body += f'<small class="warn">{interval(*case)} if unscored counted either way</small>'
    return body


def _difference(change: Change) -> str:
    verdict = change.judgement
    body = f'<span class="badge {verdict if verdict in ("better", "worse") else ""}">{_VERDICTS[verdict]}</span>'
    if change.difference is not None:
        body = f"{points(change.difference)} {body}<small>{interval(change.low, change.high)}"
        if change.p_adjusted is not None:
            body += f"; {'adjusted p' if change.counted else 'not counted, FDR-adjusted p'} {_p(change.p_adjusted)}"
        body += "</small>"
    if change.preserved:
        body += "<small>preserved within one point</small>"
    return body


def _count(change: Change, *, single: bool) -> str:
    row = change.before
    body = f"{row.n_scored:,}" if single else f"{change.n_pairs:,} pairs"
    notes = []
    for side, label in ((change.before, "before"), (change.after, "after")):
        if side.n_unscored:
            why = f": {e(reasons(side))}" if side.reasons else ""
            notes.append(f"{side.n_unscored:,} unscored{'' if single else f' {label}'}{why}")
        if side.n_empty and "empty" not in side.reasons:
            notes.append(f"{side.n_empty:,} empty" + ("" if single else f" {label}"))
        if side.n_cut:
            notes.append(f"{side.n_cut:,} cut at the token limit" + ("" if single else f" {label}"))
        if side.n_planned is not None:
            notes.append(f"stopped early, {side.n_planned:,} planned" + ("" if single else f" {label}"))
        if single:
            break
    if max(unscored_share(change.before), unscored_share(change.after)) > 0.10:
        notes.append('<span class="warn">incomplete: over 10 % unscored</span>')
    return body + "".join(f"<small>{note}</small>" for note in notes)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
