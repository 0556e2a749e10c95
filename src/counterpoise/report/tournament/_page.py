"""The page of a tournament, in HTML and in Markdown: the trade-offs, the standings, who beats whom, the cost."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import atomic_write

from .._html import write_page
from .._words import interval, percent, points
from .._words import text as e
from ..board import packaged
from ._arms import Arm, Measure, scorers
from ._outcome import Outcome
from ._picture import Axis, Dot, Place, scatter

NOTE = (
    "Means over the same items and all seeds. Intervals (95 %) hold the spread of the items and of the seeds. Every "
    "pair of arms is tested on each measure, paired by item and by seed; p is adjusted by Holm's method over the pairs "
    "of a measure. A rank is the span of places that these tests leave: arms whose spans overlap are not told apart."
)


def write_tournament(out: Path, found: Outcome, facts: Mapping[str, Any]) -> Path:
    """Write `out` (ending in .html) and the same tables beside it in Markdown; return `out`. It requests nothing."""
    title = f"Tournament of {len(found.arms) - 1} corrections: {facts.get('model', '')}"
    body = _pictures(found) + _standings(found) + _matrices(found) + _cost(found) + _context(found.arms)
    body += _made({**facts, "scorers": _scorers(found)})
    write_page(out, title, title, headline(found), body)
    with atomic_write(out.with_suffix(".md")) as file:
        file.write(markdown(found, facts))
    return out


def headline(found: Outcome) -> str:
    """Which arms harm less than the untouched model for certain, and what it cost; in one sentence."""
    base = found.measured[0].name
    harm = [m for m in found.measures if m.metric == "asr"]
    safer = [
        arm.name
        for arm in found.measured[1:]
        if any(found.duel(m, base, arm.name).winner == arm.name for m in harm)
        and not any(found.duel(m, base, arm.name).winner == base for m in harm)
    ]
    if not safer:
        return "No arm is shown to be safer than the untouched model."
    others = [m for m in found.measures if m.metric != "asr"]
    free = [name for name in safer if not any(found.duel(m, base, name).winner == base for m in others)]
    first = f"{_joined(safer)} {'is' if len(safer) == 1 else 'are'} safer than the untouched model"
    if not free:
        return f"{first}; each of them pays for it in over-refusal, capability or broken replies."
    rest = "no loss on any other measure is shown" + ("" if len(free) == len(safer) else f" for {_joined(free)}")
    return f"{first}; {rest}."


def _scorers(found: Outcome) -> str:
    return scorers(next(iter(found.measured[0].folders.values())))


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _pictures(found: Outcome) -> str:
    harm = [m for m in found.measures if m.metric == "asr"]
    figures = []
    for measure in harm:
        partner = next((m for m in found.measures if m.metric == "over_refusal" and m.modality == measure.modality),
                       None)  # fmt: skip
        if partner:
            figures.append(_picture(found, partner, measure))
    able = next((m for m in found.measures if m.metric == "capability"), None)
    visual = next((m for m in harm if m.modality == "print"), harm[-1] if harm else None)
    if able and visual:
        figures.append(_picture(found, able, visual))
    keys = "".join(f"<li>{e(arm.name)}</li>" for arm in found.measured)
    return (
        '<section id="trade"><h2>The trade-offs</h2><p class="note">Values in percent with 95 % intervals. '
        f'</p><ol class="keys">{keys}</ol><div class="pictures">{"".join(figures)}</div></section>'
    )


def _picture(found: Outcome, across: Measure, up: Measure) -> str:
    front = found.front(across, up)
    dots = []
    for number, arm in enumerate(found.measured, 1):
        x, y = found.rates[arm.name, across], found.rates[arm.name, up]
        if x.value is None or x.low is None or x.high is None or y.value is None or y.low is None or y.high is None:
            continue
        place = Place(x.value, x.low, x.high), Place(y.value, y.low, y.high)
        dots.append(Dot(number, arm.name, *place, arm.name in front))
    axes = [Axis(m.title, m.direction) for m in (across, up)]
    return scatter(f"{up.title} against {across.title[0].lower()}{across.title[1:]}", dots, *axes)


def _standings(found: Outcome) -> str:
    heads = "".join(f'<th scope="col">{e(m.title)}</th>' for m in found.measures)
    rows = ""
    for arm in found.measured:
        cells = "".join(
            f'<td class="num" data-label="{e(m.title)}"><div>{_rate(found, arm, m)}</div></td>' for m in found.measures
        )
        rows += f'<tr><th scope="row">{e(arm.name)}<small>{e(_seeds(arm))}</small></th>{cells}</tr>'
    return (
        f'<section id="standings"><h2>Standings</h2><p class="note">{NOTE}</p>'
        f'<table><thead><tr><th scope="col">Arm</th>{heads}</tr></thead><tbody>{rows}</tbody></table></section>'
    )


def _rate(found: Outcome, arm: Arm, measure: Measure) -> str:
    rate = found.rates[arm.name, measure]
    unscored = f"<small>{rate.n_unscored:,} unscored</small>" if rate.n_unscored else ""
    return (
        f"{percent(rate.value)}<small>{interval(rate.low, rate.high)}</small><small>{_span(found, arm, measure)}; "
        f"n = {rate.n_items:,}</small>{unscored}"
    )


def _span(found: Outcome, arm: Arm, measure: Measure) -> str:
    span = found.spans[arm.name, measure]
    return f"rank {span.low}" if span.low == span.high else f"rank {span.low} to {span.high}"


def _seeds(arm: Arm) -> str:
    return f"{len(arm.seeds)} seeds" if len(arm.seeds) != 1 else "measured once" if not arm.method else "1 seed"


def _matrices(found: Outcome) -> str:
    tables = "".join(
        f"<details{' open' if n == 0 else ''}><summary>{e(m.title)}</summary>{_matrix(found, m)}</details>"
        for n, m in enumerate(found.measures)
    )
    return (
        '<section id="pairs"><h2>Who beats whom</h2><p class="note">Row minus column, in percentage points, with the '
        f"adjusted p; marked only where it is below 5 % and the interval excludes zero.</p>{tables}</section>"
    )


def _matrix(found: Outcome, measure: Measure) -> str:
    arms = found.measured
    heads = "".join(f'<th scope="col">{e(arm.name)}</th>' for arm in arms)
    rows = ""
    for row in arms:
        cells = ""
        for column in arms:
            cells += (
                f'<td class="num" data-label="{e(column.name)}"><div>{_cell(found, measure, row, column)}</div></td>'
            )
        rows += f'<tr><th scope="row">{e(row.name)}</th>{cells}</tr>'
    return f'<table><thead><tr><th scope="col"></th>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _cell(found: Outcome, measure: Measure, row: Arm, column: Arm) -> str:
    if row is column:
        return "–"
    duel = found.duel(measure, row.name, column.name)
    if duel.difference is None or duel.p_adjusted is None:
        return "not compared"
    sign = 1 if duel.second == row.name else -1
    value = points(round(sign * duel.difference.value, 4) + 0.0)  # no minus before a zero
    p = "p < 0.001" if duel.p_adjusted < 0.001 else f"p {duel.p_adjusted:.3f}"
    word = "" if not duel.winner else "better" if duel.winner == row.name else "worse"
    badge = f' <span class="badge {word}">{word}</span>' if word else ""
    return f"{value}{badge}<small>{p}</small>"


def _cost(found: Outcome) -> str:
    rows = ""
    for arm in found.arms[1:]:
        trained = f"{arm.rows:,}" if arm.rows is not None else "–"
        seconds = f"{arm.seconds:,.0f} s" if arm.seconds is not None else "–"
        cells = (("Rows", trained), ("Time", seconds), ("Settings", arm.settings), ("", arm.problem))
        body = "".join(f'<td data-label="{k}"><div>{e(v)}</div></td>' for k, v in cells)
        rows += f'<tr><th scope="row">{e(arm.name)}<small>{e(arm.method)}</small></th>{body}</tr>'
    head = "".join(f'<th scope="col">{k}</th>' for k in ("Arm", "Rows", "Time", "Settings", "Remarks"))
    return (
        '<section id="cost"><h2>What each took</h2><p class="note">Training rows of one seed, and the mean seconds of '
        f"making the data and training, on one machine.</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
        "</table></section>"
    )


def literature(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """(arm, sentence) for published numbers of an arm's method: other models, items and judges, so context only."""
    found = []
    entries = packaged()
    for arm in arms:
        mine = [x for x in entries if arm.method and x.method and _plain(x.method) == _plain(arm.method)]
        for x in [x for x in mine if x.metric in ("asr", "over_refusal") and x.value is not None][:4]:
            where = " ".join(part for part in (x.benchmark, x.split, x.metric) if part != "all")
            found.append((arm.name, f"{where} {percent(x.value)} on {x.model} ({x.source})"))
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _context(arms: Sequence[Arm]) -> str:
    lines = "".join(f"<li><b>{e(name)}</b>: {e(words)}</li>" for name, words in literature(arms))
    if not lines:
        return ""
    return (
        '<section id="papers"><h2>What the papers report</h2><p class="note">Other models, items and judges: context, '
        f"not a comparison.</p><ul>{lines}</ul></section>"
    )


def _made(facts: Mapping[str, Any]) -> str:
    short = "".join(f"<dt>{e(name)}</dt><dd>{e(value)}</dd>" for name, value in facts.items())
    return f'<section id="made"><h2>How it was made</h2><dl>{short}</dl></section>'


def markdown(found: Outcome, facts: Mapping[str, Any]) -> str:
    """The standings, the cost and the failures as Markdown, for docs and pull requests."""
    heads = [m.title for m in found.measures]
    lines = [f"**{headline(found)}**", "", NOTE, ""]
    lines += [f"| arm | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for arm in found.measured:
        cells = []
        for m in found.measures:
            rate = found.rates[arm.name, m]
            unscored = f", {rate.n_unscored} unscored" if rate.n_unscored else ""
            cells.append(f"{percent(rate.value)} ({interval(rate.low, rate.high)}), {_span(found, arm, m)}, "
                         f"n = {rate.n_items}{unscored}")  # fmt: skip
        lines.append(f"| {_escaped(arm.name)} | {' | '.join(cells)} |")
    lines += ["", "| arm | rows | seconds | seeds | settings | remarks |", "|---|---|---|---|---|---|"]
    for arm in found.arms[1:]:
        rows = f"{arm.rows:,}" if arm.rows is not None else ""
        seconds = f"{arm.seconds:,.0f}" if arm.seconds is not None else ""
        cells = [arm.name, rows, seconds, str(len(arm.seeds)), arm.settings, arm.problem]
        lines.append(f"| {' | '.join(_escaped(cell) for cell in cells)} |")
    if published := literature(found.arms):
        lines += ["", "What the papers report (other models, items and judges):", ""]
        lines += [f"- {name}: {words}" for name, words in published]
    lines += ["", *(f"- {name}: {value}" for name, value in facts.items()), f"- scorers: {_scorers(found)}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
