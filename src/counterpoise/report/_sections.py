"""The sections of the report, each a function from values to HTML."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from counterpoise.base import Row

from ._change import Change
from ._dose import DoseCurve
from ._folder import EvalFolder
from ._svg import dose_picture, interval_picture
from ._table import table
from ._verdict import Verdict, primary
from ._words import metric_name, percent
from ._words import text as e


def findings(found: Verdict, advice: str = "") -> str:
    """The three questions, one paragraph each, and what to try next where there is something to say."""
    lines = [("Harm", found.safety), ("Over-refusal", found.over_refusal), ("Capability", found.capability)]
    lines += [("Next", advice)] if advice else []
    items = "".join(f"<li><b>{name}</b><p>{e(words)}</p></li>" for name, words in lines)
    return (
        f'<section aria-label="Verdict"><ul class="findings">{items}</ul>'
        '<p class="note">“Fell” and “rose” are used only where the paired 95 % interval excludes zero and the '
        "Holm-adjusted p is below 5 %, over the safety rows, the capability rows or the broken shares of each "
        "benchmark's own scorer. Other scorers, groups of items and differences of two rows are shown and not counted. "
        "Anything else is called unclear, never equal; the largest change that the interval leaves possible is named."
        "</p></section>"
    )


def scorecard(rows: Sequence[Row], changes: Sequence[Change] | None) -> str:
    """Each benchmark's own scorer first; the other scorers folded below."""
    shown = list(changes) if changes is not None else [single(row) for row in rows]
    first = primary(shown)
    chosen = {id(change) for change in first}
    rest = [change for change in shown if id(change) not in chosen]
    single_run = changes is None
    more = ""
    if rest:
        more = (
            f'<details class="more"><summary>The same answers by other scorers ({len(rest)} rows)</summary>'
            f"{table(rest, single=single_run)}</details>"
        )
    return (
        '<section id="scorecard"><h2>Scorecard</h2><p class="note">Rates with 95 % intervals and the number of '
        "scored items. Changes are paired by item, in percentage points. An item that a scorer could not judge is "
        "unscored, never safe, and so is a reply that has no text, never ended its thought or was filtered by a "
        "server. Broken replies are empty, loops or gibberish: a model that writes only those is not safe."
        f"</p>{table(first, single=single_run)}{more}</section>"
    )


def pictures(rows: Sequence[Row], changes: Sequence[Change] | None) -> str:
    """One panel per metric, one strip per benchmark and modality."""
    shown = primary(list(changes) if changes is not None else [single(row) for row in rows])
    shown = sorted(shown, key=_order)
    panels = []
    for metric, group in groupby(shown, key=lambda change: change.before.metric):
        members = list(group)
        wanted = "lower is better" if members[0].direction == "lower" else "higher is better"
        title = metric_name(metric)
        picture = interval_picture(title, members, single=changes is None)
        panels.append(f"<figure><figcaption>{e(title)} <small>percent, {wanted}</small></figcaption>{picture}</figure>")
    legend = '<li><i class="a"></i>value and 95 % interval</li>'
    if changes is not None:
        legend = (
            '<li><i class="b"></i>before</li><li><i class="a"></i>after</li><li>lines are 95 % intervals of each side '
            "alone; the verdict uses the paired interval</li>"
        )
    return (
        f'<section id="modalities"><h2>By modality</h2><ul class="legend">{legend}</ul>'
        f'<div class="pictures">{"".join(panels)}</div></section>'
    )


def dose(curve: DoseCurve) -> str:
    """The dose curve: one panel per measured quantity."""
    names = list(dict.fromkeys(name for point in curve.points for name in point.estimates))
    panels = "".join(
        f"<figure><figcaption>{e(metric_name(name.split('[')[0]))} <small>{e(_bound(name, curve))}</small></figcaption>"
        f"{dose_picture(name, curve)}</figure>"
        for name in names
    )
    confirmed = ""
    if curve.confirmed:
        numbers = ", ".join(
            f"{metric_name(name)} {percent(x.value)} (at most {percent(x.high)})"
            for name, x in curve.confirmed.estimates.items()
        )
        confirmed = (
            f"<p>Measured once more on the test half, which the search never saw: {e(numbers)}. The scorecard above "
            "holds both halves; only this half is free of the choice.</p>"
        )
    return (
        f'<section id="dose"><h2>The dose</h2><p>{e(curve.message)}</p>{confirmed}<ul class="legend">'
        '<li><i class="a"></i>estimate with 95 % interval, validation half</li><li><i class="t"></i>target</li>'
        f'<li><i class="r"></i>chosen</li></ul><div class="pictures">{panels}</div></section>'
    )


def made(before: EvalFolder, after: EvalFolder | None, run: Mapping[str, Any]) -> str:
    """How it was made: the short facts, then run.json in full."""
    facts = {name: value for name, value in run.items() if isinstance(value, str | int | float | bool)}
    facts["items"] = f"{len(before.items):,}"
    facts["folders"] = ", ".join(folder.path.name for folder in (before, after) if folder)
    short = "".join(f"<dt>{e(name.replace('_', ' '))}</dt><dd>{e(value)}</dd>" for name, value in facts.items())
    full = e(json.dumps(run, indent=2, ensure_ascii=False, default=str))
    return (
        f'<section id="made"><h2>How it was made</h2><dl>{short}</dl>'
        f'<details class="more"><summary>run.json in full</summary><pre tabindex="0">{full}</pre></details></section>'
    )


def single(row: Row) -> Change:
    """A row of one evaluation in the shape of a change, so that tables and pictures know one type."""
    return Change(row, row, None, None, None, None, None, row.n_scored, row.n_unscored)


def _order(change: Change) -> tuple[int, str]:
    order = ("asr", "broken", "over_refusal", "discrimination", "modality_gap", "accuracy")
    metric = change.before.metric
    return (order.index(metric) if metric in order else len(order), metric)


def _bound(name: str, curve: DoseCurve) -> str:
    modality = name.partition("[")[2].rstrip("]")
    words = [modality] if modality else []
    if name in curve.targets:
        words.append(f"target: at most {percent(curve.targets[name])}")
    return ", ".join(words) or "percent"
