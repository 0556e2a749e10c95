"""Small pictures as inline SVG: intervals before and after, and the dose curve. No script, colours from the page."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from counterpoise.base import Row

from ._change import Change
from ._dose import DoseCurve, Estimate
from ._words import metric_name, percent

WIDTH, LEFT, RIGHT = 340, 8, 12
ROW = 46


class _Mark(NamedTuple):
    row: Row
    kind: str
    """`before` (hollow) or `after` (filled)."""


def interval_picture(title: str, changes: Sequence[Change], *, single: bool = False) -> str:
    """One panel: per row a strip from 0 (or as far below it as an interval goes) to 100 %, with a hollow dot before and
    a filled dot after, intervals as lines.

    `single` draws only the `before` side, filled: one evaluation without a comparison.
    """
    height = ROW * len(changes) + 26
    rows = [row for change in changes for row in (change.before, change.after)]
    least = min((end for row in rows for end in (row.value, row.ci_low) if end is not None), default=0.0)
    low = next((tick for tick in (0, -25, -50) if least * 100 >= tick), -100)
    lines = [_grid(low, height - 20)]
    for number, change in enumerate(changes):
        y = ROW * number
        both = change.before.value, change.after.value
        values = percent(both[0]) if single else f"{percent(both[0])} → {percent(both[1])}"
        name = f"{change.before.benchmark} · {change.before.modality}"
        lines.append(f'<text class="label" x="{LEFT}" y="{y + 14}">{escape(_short(name))}</text>')
        lines.append(f'<text class="label num" x="{WIDTH - RIGHT}" y="{y + 14}" text-anchor="end">{values}</text>')
        marks = (
            [_Mark(change.before, "after")]
            if single
            else [_Mark(change.before, "before"), _Mark(change.after, "after")]
        )
        for offset, mark in enumerate(marks):
            lines.append(_dot(mark, y + (28 if single else 24 + 9 * offset), low))
    told = "; ".join(
        f"{c.before.benchmark} {c.before.modality}: {percent(c.before.value)}"
        + ("" if single else f" before, {percent(c.after.value)} after")
        for c in changes
    )
    return _svg(title, told, WIDTH, height, lines)


def dose_picture(name: str, curve: DoseCurve) -> str:
    """One panel of the dose curve: estimate and interval at every value of the method's first knob, the target as a
    dashed line."""
    points, knob = curve.in_order(name), curve.knobs[0]
    height, bottom, top, left = 210, 168, 14, 40
    bound = curve.targets.get(name)
    numbers = [p.estimates[name] for p in points]
    highest = max([estimate.high for estimate in numbers] + [bound or 0.0, 0.05])
    lowest = min([estimate.low for estimate in numbers] + [0.0])
    step = _step(highest - lowest)
    floor, ceiling = step * math.floor(lowest / step + 1e-9), step * math.ceil(highest / step - 1e-9)

    def y(value: float) -> float:
        return bottom - (value - floor) / (ceiling - floor) * (bottom - top)

    def x(index: int) -> float:
        return left + 18 + index * (WIDTH - left - RIGHT - 30) / max(len(points) - 1, 1)

    scale, axis = (100, f"{knob.label}, %") if knob.unit == "share" else (1, knob.label)
    lines = []
    tick = floor
    while tick <= ceiling + 1e-9:
        lines.append(f'<line class="grid" x1="{left}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        number = f"{tick * 100:.0f}".replace("-", "−")
        lines.append(f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{number}</text>')
        tick += step
    if bound is not None:
        lines.append(f'<line class="target" x1="{left}" x2="{WIDTH - RIGHT}" y1="{y(bound):.1f}" y2="{y(bound):.1f}"/>')
    path = " ".join(f"{'L' if i else 'M'}{x(i):.1f} {y(e.value):.1f}" for i, e in enumerate(numbers))
    lines.append(f'<path class="curve" d="{path}"/>')
    for i, point in enumerate(points):
        lines.append(_bar(x(i), point.estimates[name], y, chosen=point == curve.chosen))
        label = f"{point.dose[knob.name] * scale:.3g}" if point.dose else "base"
        lines.append(f'<text class="tick" x="{x(i):.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    lines.append(f'<text class="tick" x="{WIDTH - RIGHT}" y="{height - 6}" text-anchor="end">{escape(axis)}</text>')
    told = "; ".join(
        f"{knob.say(p.dose[knob.name]) if p.dose else 'base'}: {percent(p.estimates[name].value)}" for p in points
    )
    return _svg(f"{metric_name(name)} by dose", told, WIDTH, height, lines)


def _bar(x: float, estimate: Estimate, at: Callable[[float], float], *, chosen: bool) -> str:
    high, low, middle = at(estimate.high), at(estimate.low), at(estimate.value)
    ring = f'<circle class="chosen" cx="{x:.1f}" cy="{middle:.1f}" r="9"/>' if chosen else ""
    return (
        f'<line class="after" x1="{x:.1f}" x2="{x:.1f}" y1="{high:.1f}" y2="{low:.1f}"/>{ring}'
        f'<circle class="after" cx="{x:.1f}" cy="{middle:.1f}" r="4.5"/>'
    )


def _step(span: float) -> float:
    return next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if span / step <= 5), 0.25)


def _grid(low: int, bottom: int) -> str:
    ticks = range(low, 101, 50 if low < -25 else 25)
    return "".join(
        f'<line class="grid" x1="{_x(t / 100, low):.1f}" x2="{_x(t / 100, low):.1f}" y1="0" y2="{bottom}"/>'
        f'<text class="tick" x="{_x(t / 100, low):.1f}" y="{bottom + 15}" text-anchor="{_anchor(t, low)}">{t}</text>'
        for t in ticks
    ).replace(">-", ">−")


def _anchor(tick: int, low: int) -> str:
    return {100: "end", low: "start"}.get(tick, "middle")


def _x(value: float, low: int) -> float:
    return LEFT + (value * 100 - low) / (100 - low) * (WIDTH - LEFT - RIGHT)


def _dot(mark: _Mark, y: float, low: int) -> str:
    row = mark.row
    if row.value is None:
        return ""
    line = ""
    if row.ci_low is not None and row.ci_high is not None:
        a, b = _x(row.ci_low, low), _x(row.ci_high, low)
        line = f'<line class="{mark.kind}" x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}"/>'
    return f'{line}<circle class="{mark.kind}" cx="{_x(row.value, low):.1f}" cy="{y}" r="4.5"/>'


def _short(text: str, most: int = 34) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _svg(title: str, description: str, width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )


def number_label(
    number: int, x: float, y: float, taken: list[tuple[float, float]], *, left: float, right: float, bottom: float
) -> str:
    """A number near its dot, at the first place inside the picture that no dot and no earlier label holds (`taken`, to
    which it is added); a thin line leads to it."""
    places = [(x + r * dx, y + r * dy) for r in (15, 22, 30, 42, 56) for dx, dy in _AROUND]
    inside = [(a, b) for a, b in places if left < a < right and 8 < b < bottom] or places[:1]
    free = ((a, b) for a, b in inside if all(abs(a - c) > 14 or abs(b - d) > 11 for c, d in taken))
    a, b = next(free, inside[0])
    taken.append((a, b))
    far = max(abs(a - x), abs(b - y)) > 17
    leader = f'<line class="grid" x1="{x:.1f}" y1="{y:.1f}" x2="{a:.1f}" y2="{b:.1f}"/>' if far else ""
    return f'{leader}<text class="label" x="{a:.1f}" y="{b + 4:.1f}" text-anchor="middle">{number}</text>'


_AROUND = ((1.0, -1.0), (1.0, 1.0), (-1.0, -1.0), (-1.0, 1.0), (1.1, 0.0), (0.0, -1.1), (0.0, 1.1), (-1.1, 0.0))
