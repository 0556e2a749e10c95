"""The picture of the trade-off: what gets through against what is refused without need, with intervals."""

from collections.abc import Iterable, Sequence
from math import ceil, floor
from typing import NamedTuple

from .._svg import number_label
from .._words import percent
from .._words import text as e
from ._entry import Entry
from ._metrics import side, title
from ._shell import page_name

SIZE, LEFT, BOTTOM, EDGE = 380, 46, 40, 12


class Point(NamedTuple):
    """One model: its entry on harmful requests and the one on harmless requests, from the same source."""

    harm: Entry
    benign: Entry


def trade_offs(entries: Iterable[Entry]) -> dict[str, list[Point]]:
    """By picture title: pairs of a harm-side and a benign-side metric of one benchmark revision, split, modality,
    scorer, source and table. Other pairs would compare different things."""
    places: dict[tuple[str, ...], dict[str, list[Entry]]] = {}
    for entry in entries:
        if side(entry.metric) and entry.value is not None:
            group = entry.group
            place = (entry.model, entry.method, entry.source, entry.table, *group[:4], entry.scorer)
            places.setdefault(place, {}).setdefault(side(entry.metric), []).append(entry)
    found: dict[str, list[Point]] = {}
    for both in places.values():
        for harm in both.get("harm", []):
            for benign in both.get("benign", []):
                where = ", ".join(p for p in (harm.split, harm.modality) if p != "all")
                name = f"{harm.benchmark}{f' ({where})' if where else ''}: {title(harm.metric)}, {title(benign.metric)}"
                found.setdefault(f"{name}. Scorer {harm.scorer}, {harm.kind}", []).append(Point(harm, benign))
    return dict(sorted(found.items(), key=lambda each: (each[1][0].harm.kind, -len(each[1]))))  # own runs first


def picture(name: str, points: Sequence[Point]) -> str:
    """Both axes show failures in percent, so the lower left corner is best whatever the metrics' directions."""
    ordered = sorted(points, key=lambda p: _bad(p.harm)[0] + _bad(p.benign)[0])
    across, up = _axis(_bad(p.benign) for p in ordered), _axis(_bad(p.harm) for p in ordered)
    taken: list[tuple[float, float]] = []
    parts, labels = [_axes(across, up)], []
    for point in ordered:
        (x, x0, x1), (y, y0, y1) = _bad(point.benign), _bad(point.harm)
        kind = "after" if point.harm.method else "before"
        parts.append(
            f'<line class="{kind} thin" x1="{_x(x0, across):.1f}" x2="{_x(x1, across):.1f}" y1="{_y(y, up):.1f}" '
            f'y2="{_y(y, up):.1f}"/><line class="{kind} thin" x1="{_x(x, across):.1f}" x2="{_x(x, across):.1f}" '
            f'y1="{_y(y0, up):.1f}" y2="{_y(y1, up):.1f}"/>'
            f'<circle class="{kind}" cx="{_x(x, across):.1f}" cy="{_y(y, up):.1f}" r="4"/>'
        )
        taken.append((_x(x, across), _y(y, up)))
    for number, (x, y) in enumerate(taken[: len(ordered)], 1):
        labels.append(number_label(number, x, y, taken, right=SIZE - 8, left=LEFT + 6, bottom=SIZE - BOTTOM - 6))
    parts += labels
    told = "; ".join(
        f"{p.harm.name}: {percent(_bad(p.harm)[0])} of harmful requests fail, {percent(_bad(p.benign)[0])} of harmless"
        for p in ordered
    )
    head, _, rest = name.partition(": ")
    keys = "".join(
        f'<li><a href="{e(page_name("model", p.harm.model))}">{e(p.harm.name)}</a> '
        f"<small>{percent(_bad(p.harm)[0])} / {percent(_bad(p.benign)[0])}</small></li>"
        for p in ordered
    )
    return (
        f'<figure class="trade"><figcaption>{e(head)}<small>{e(rest)}</small>'
        f"<small>failures in percent, 95 % intervals where n is known; "
        f"lower left is best</small></figcaption>"
        f'<svg viewBox="0 0 {SIZE} {SIZE}" role="img" xmlns="http://www.w3.org/2000/svg"><title>{e(name)}</title>'
        f"<desc>{e(told)}</desc>{''.join(parts)}</svg>"
        f'<ol class="keys" aria-label="harmful requests that got through / harmless requests that failed">{keys}</ol>'
        "</figure>"
    )


def _bad(entry: Entry) -> tuple[float, float, float]:
    """(value, low, high) as a rate of failures; without an interval its ends are the value."""
    value = entry.value or 0.0
    low = value if entry.ci_low is None else entry.ci_low
    high = value if entry.ci_high is None else entry.ci_high
    return (value, low, high) if entry.direction == "lower" else (1 - value, 1 - high, 1 - low)


class _Range(NamedTuple):
    low: float
    high: float
    step: float


def _axis(values: Iterable[tuple[float, float, float]]) -> _Range:
    """Whole steps around all intervals, at most six: the printed ticks say when an axis does not start at 0."""
    ends = [end for _, low, high in values for end in (low, high)]
    low, high = min(ends), max(ends)
    step = next((s for s in (0.02, 0.05, 0.1, 0.2) if (high - low) / s <= 4), 0.25)
    bottom = max(0, floor(low / step + 1e-9))
    top = max(bottom + 1, ceil(high / step - 1e-9))
    return _Range(bottom * step, top * step, step)


def _axes(across: _Range, up: _Range) -> str:
    parts = []
    for tick in _ticks(across):
        x = _x(tick, across)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{EDGE}" y2="{SIZE - BOTTOM}"/>')
        label = f'<text class="tick" x="{x:.1f}" y="{SIZE - BOTTOM + 15}" text-anchor="middle">{tick * 100:.0f}</text>'
        parts.append(label)
    for tick in _ticks(up):
        y = _y(tick, up)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{SIZE - EDGE}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick * 100:.0f}</text>')
    middle, y = (LEFT + SIZE - EDGE) / 2, (SIZE - BOTTOM + EDGE) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{SIZE - 6}" text-anchor="middle">harmless requests failed</text>')
    parts.append(
        f'<text class="tick" x="12" y="{y}" text-anchor="middle" transform="rotate(-90 12 {y})">'
        "harmful requests got through</text>"
    )
    return "".join(parts)


def _ticks(axis: _Range) -> list[float]:
    return [axis.low + i * axis.step for i in range(round((axis.high - axis.low) / axis.step) + 1)]


def _x(value: float, axis: _Range) -> float:
    return LEFT + (value - axis.low) / (axis.high - axis.low) * (SIZE - EDGE - LEFT)


def _y(value: float, axis: _Range) -> float:
    return SIZE - BOTTOM - (value - axis.low) / (axis.high - axis.low) * (SIZE - BOTTOM - EDGE)
