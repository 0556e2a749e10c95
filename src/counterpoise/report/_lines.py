"""Line charts as inline SVG: one value over layers, steps or doses, a few lines in a panel."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from ._svg import _svg

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 340, 236, 44, 12, 12, 168
STYLES = ("after", "before", "third", "fourth")
DASHES = ("", "6 3", "2 3", "8 3 2 3")
"""Lines are told apart without colour too."""


class Line(NamedTuple):
    """One line; a value of None is a gap."""

    name: str
    values: Sequence[float | None]
    dashed: bool = False


def line_picture(title: str, across: Sequence[str], lines: Sequence[Line], *, axis: str) -> str:
    """Lines over the named places `across`; the legend stands below, the numbers in the description."""
    known = [v for line in lines for v in line.values if v is not None and math.isfinite(v)]
    low, high = min([*known, 0.0]), max([*known, 0.0])
    step = _nice((high - low) or 1.0)
    floor, ceiling = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
    ceiling = ceiling if ceiling > floor else floor + step

    def y(value: float) -> float:
        return BOTTOM - (value - floor) / (ceiling - floor) * (BOTTOM - TOP)

    def x(place: int) -> float:
        return LEFT + 10 + place * (WIDTH - LEFT - RIGHT - 20) / max(len(across) - 1, 1)

    parts = []
    for number in range(round((ceiling - floor) / step) + 1):
        tick = floor + number * step
        label = f"{tick:.6g}".replace("-", "−")
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{label}</text>')
    every = max(1, math.ceil(len(across) / 8))
    for place, name in enumerate(across):
        if place % every == 0:
            anchor = "end" if place == len(across) - 1 and len(name) > 5 else "middle"  # not cut off at the edge
            parts.append(
                f'<text class="tick" x="{x(place):.1f}" y="{BOTTOM + 16}" text-anchor="{anchor}">{escape(name)}</text>'
            )
    parts.append(f'<text class="tick" x="{WIDTH - RIGHT}" y="{BOTTOM + 31}" text-anchor="end">{escape(axis)}</text>')
    for number, line in enumerate(lines):
        style, dash = STYLES[number % 4], "3 4" if line.dashed else DASHES[(number + number // 4) % 4]
        marks = [(x(i), y(v)) for i, v in enumerate(line.values) if v is not None and math.isfinite(v)]
        path = " ".join(f"{'L' if i else 'M'}{a:.1f} {b:.1f}" for i, (a, b) in enumerate(marks))
        parts.append(f'<path class="line {style}" stroke-dasharray="{dash}" d="{path}"/>')
        column, row = number % 2, number // 2
        at, down = LEFT + column * 150, BOTTOM + 46 + 15 * row
        parts.append(
            f'<path class="line {style}" stroke-dasharray="{dash}" d="M{at} {down - 4} L{at + 22} {down - 4}"/>'
        )
        parts.append(f'<text class="tick" x="{at + 28}" y="{down}">{escape(line.name)}</text>')
    told = "; ".join(
        f"{line.name}: " + ", ".join("–" if v is None else f"{v:.3g}" for v in line.values) for line in lines
    )
    return _svg(title, told, WIDTH, HEIGHT + 15 * (max(len(lines) - 1, 0) // 2), parts)


def bar_picture(title: str, bars: Mapping[str, Sequence[float]], names: Sequence[str], *, axis: str) -> str:
    """Groups of horizontal bars, shares from 0 to 1: one group a key, one bar a name."""
    height = 16 * len(names) + 24
    parts, left = [], 8
    for group, (label, values) in enumerate(bars.items()):
        top = group * height
        parts.append(f'<text class="label" x="{left}" y="{top + 14}">{escape(label)}</text>')
        for number, (name, value) in enumerate(zip(names, values, strict=True)):
            y, wide = top + 20 + 16 * number, 190 * value
            parts.append(f'<rect class="{STYLES[number % 4]}" x="{left + 92}" y="{y}" width="{wide:.1f}" height="11"/>')
            parts.append(f'<text class="tick" x="{left}" y="{y + 10}">{escape(name)}</text>')
            parts.append(f'<text class="tick" x="{left + 98 + wide:.1f}" y="{y + 10}">{100 * value:.1f} %</text>')
    parts.append(
        f'<text class="tick" x="{WIDTH - RIGHT}" y="{len(bars) * height + 14}" text-anchor="end">{escape(axis)}</text>'
    )
    told = "; ".join(
        f"{label}: " + ", ".join(f"{n} {100 * v:.1f} %" for n, v in zip(names, values, strict=True))
        for label, values in bars.items()
    )
    return _svg(title, told, WIDTH, len(bars) * height + 22, parts)


ALONE = """
svg { font-family: sans-serif } .label { font-size: 12px } .tick { font-size: 11px; fill: #444 } .grid { stroke: #ccc }
.line { fill: none; stroke-width: 2 } .line.after { stroke: #1f5fbf } .line.before { stroke: #8a6d3b }
.line.third { stroke: #17693f } .line.fourth { stroke: #a3281f } rect.after { fill: #1f5fbf }
rect.before { fill: #8a6d3b } rect.third { fill: #17693f } rect.fourth { fill: #a3281f }
"""


def panels(pictures: Mapping[str, str], *, columns: int = 2) -> str:
    """Pictures of this module, by caption, as one SVG file that stands alone: side by side, with colours of its own."""
    found = [(caption, svg, float(svg.split('viewBox="0 0 ')[1].split('"')[0].split()[1]))
             for caption, svg in pictures.items()]  # fmt: skip
    body, top = "", 0.0
    for start in range(0, len(found), columns):
        row = found[start : start + columns]
        for place, (caption, svg, height) in enumerate(row):
            at = place * (WIDTH + 20)
            inner = svg.replace("<svg ", f'<svg x="{at}" y="{top + 24:g}" width="{WIDTH}" height="{height:g}" ', 1)
            body += f'<text class="label" x="{at + 8}" y="{top + 16:g}">{escape(caption)}</text>{inner}'
        top += max(height for _, _, height in row) + 34
    wide = min(columns, len(found)) * (WIDTH + 20)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {top:g}"><style>{ALONE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{body}</svg>\n'
    )


def _nice(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that gives at most five intervals."""
    power = 10.0 ** math.floor(math.log10(span / 5))
    return next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= 5 + 1e-9)
