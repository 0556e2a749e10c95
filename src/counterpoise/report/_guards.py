"""Guards as a reader wants them: the terminal table, and a self-contained page with reliability pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterpoise.guard.evaluate import CATCH, OVER_BLOCK, EvalSet, GuardResult

from ._guard_cells import by_category, by_set, cell, closed, unknown
from ._guard_picture import reliability_picture
from ._html import write_page
from ._sections import single
from ._svg import interval_picture
from ._words import text as e

TITLES = {CATCH: "Catch rate", OVER_BLOCK: "Over-block rate"}


def write_guards(out: Path, results: Sequence[GuardResult], sets: Sequence[EvalSet], skipped: Mapping[str, str],
                 settings: Mapping[str, Any]) -> Path:  # fmt: skip
    """Write the page (a file ending in .html) and return its path. It carries everything and requests nothing."""
    names = ", ".join(result.guard for result in results)
    body = _rates(results) + _categories(results) + _pictures(results) + _calibrations(results) + _latency(results)
    body += _made(results, sets, skipped, settings)
    over = "it" if len(results) == 1 else "they"
    headline = f"What {_count(results)} catch{_es(results)}, and what {over} over-block{_s(results)}"
    return write_page(out, f"Counterpoise guards: {names}", names, headline, body)


def _count(results: Sequence[GuardResult]) -> str:
    return "this guard" if len(results) == 1 else f"these {len(results)} guards"


def _es(results: Sequence[GuardResult]) -> str:
    return "es" if len(results) == 1 else ""


def _s(results: Sequence[GuardResult]) -> str:
    return "s" if len(results) == 1 else ""


def _rates(results: Sequence[GuardResult]) -> str:
    head = ("Set", "Modality", "Catch rate", "Over-block rate", "Unknown", "Fails closed: catch", "Over-block")
    parts = [
        (result.guard, [(*key, cell(found.get(CATCH)), cell(found.get(OVER_BLOCK)), unknown(found), *closed(found))
                        for key, found in by_set(result).items()])
        for result in results
    ]  # fmt: skip
    return (
        '<section id="rates"><h2>Both rates</h2><p class="note">Catch rate: share of unsafe exchanges that are '
        "blocked. Over-block rate: share of safe ones. An unknown verdict is in neither rate and is counted apart; a "
        "gate that fails closed blocks it, and the last two columns say what that makes of the rates. Intervals are "
        f"95 % (Wilson); more than 10 % unknown marks a rate incomplete.</p>{_table(head, parts)}</section>"
    )


def _categories(results: Sequence[GuardResult]) -> str:
    head = ("Set", "Category", "Over-block rate", "Catch rate", "Unknown")
    parts = [
        (result.guard, [(*key, cell(found.get(OVER_BLOCK)), cell(found.get(CATCH)), unknown(found))
                        for key, found in by_category(result).items()])
        for result in results
        if result.by_category
    ]  # fmt: skip
    if not parts:
        return ""
    return (
        '<section id="categories"><h2>By category</h2><p class="note">All modalities together; the most over-blocked '
        "category of a set first. A rate over few exchanges has a wide interval: compare those, not the rates.</p>"
        f"{_table(head, parts)}</section>"
    )


def _table(head: Sequence[str], parts: Sequence[tuple[str, Sequence[Sequence[str]]]]) -> str:
    """One part for each guard: its name, and its lines below."""
    heads, body = "".join(f'<th scope="col">{name}</th>' for name in head), ""
    for guard, lines in parts:
        body += f'<tbody class="group"><tr><th class="name" colspan="{len(head)}">{e(guard)}</th></tr></tbody><tbody>'
        for name, *cells in lines:
            rest = "".join(
                f'<td data-label="{e(label)}" class="num">{e(each)}</td>'
                for label, each in zip(head[1:], cells, strict=True)
            )
            body += f'<tr><th scope="row">{e(name)}</th>{rest}</tr>'
        body += "</tbody>"
    return f"<table><thead><tr>{heads}</tr></thead>{body}</table>"


def _pictures(results: Sequence[GuardResult]) -> str:
    figures = ""
    for result in results:
        for metric, title in TITLES.items():
            rows = [row for row in result.rows if row.metric == metric and row.value is not None]
            if rows:
                wanted = "lower is better" if rows[0].direction == "lower" else "higher is better"
                picture = interval_picture(title, [single(row) for row in rows], single=True)
                caption = f"{title} <small>{e(result.guard)}; percent, {wanted}</small>"
                figures += f"<figure><figcaption>{caption}</figcaption>{picture}</figure>"
    return f'<section id="modalities"><h2>By set and modality</h2><div class="pictures">{figures}</div></section>'


def _calibrations(results: Sequence[GuardResult]) -> str:
    figures, without = "", []
    for result in results:
        if not result.calibration:
            without.append(result.guard)
        for modality, found in result.calibration.items():
            title = f"{result.guard}, {modality}"
            facts = f"ECE {found.ece:.3f}, Brier score {found.brier:.3f}, {found.n} exchanges"
            picture = reliability_picture(title, found)
            figures += f"<figure><figcaption>{e(title)} <small>{facts}</small></figcaption>{picture}</figure>"
    none = f"<p>No probability: {e(', '.join(without))}.</p>" if without else ""
    return (
        '<section id="calibration"><h2>Calibration</h2><p class="note">Share of unsafe exchanges (percent, up) '
        "against the guard's mean probability (percent, across), in ten bins, over all sets; the dashed line is a "
        "probability that means what it says. Bars: exchanges per bin. ECE depends on how many exchanges are unsafe: "
        f'compare guards on the same sets only.</p>{none}<div class="pictures">{figures}</div></section>'
    )


def _latency(results: Sequence[GuardResult]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{e(result.guard)}</th><td data-label="Modality">{e(modality)}</td>'
        + "".join(
            f'<td data-label="{name}" class="num">{value}</td>'
            for name, value in (
                ("p50", f"{one.p50:.3g}"), ("p95", f"{one.p95:.3g}"), ("p99", f"{one.p99:.3g}"),
                ("n", one.n), ("Device", e(one.device)),
            )
        )
        + "</tr>"
        for result in results
        for modality, one in result.latency.items()
    )  # fmt: skip
    if not rows:
        return ""
    heads = "".join(
        f'<th scope="col">{name}</th>' for name in ("Guard", "Modality", "p50", "p95", "p99", "n", "Device")
    )
    return (
        '<section id="latency"><h2>Latency</h2><p class="note">Milliseconds per exchange, one at a time, in this '
        f"process.</p><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _made(results: Sequence[GuardResult], sets: Sequence[EvalSet], skipped: Mapping[str, str],
          settings: Mapping[str, Any]) -> str:  # fmt: skip
    facts = [(each.name, f"{len(each.rows)} exchanges, revision {each.revision}; {each.note}") for each in sets]
    facts += [(name, f"not here: {why}") for name, why in skipped.items()]
    for result in results:
        facts.append((result.guard, f"revision {result.revision or 'none'}, template {result.template or 'none'}"))
        reasons = "; ".join(f"{n} {why}" for why, n in result.unknown.items())
        if reasons:
            facts.append(("unknown because", reasons))
    facts += [(name, str(value)) for name, value in settings.items()]
    short = "".join(f"<dt>{e(name)}</dt><dd>{e(value)}</dd>" for name, value in facts)
    return f'<section id="made"><h2>How it was made</h2><dl>{short}</dl></section>'
