"""Two measures against each other, one numbered dot for each arm, with intervals; the front is filled."""

from collections.abc import Iterable, Sequence
from math import ceil, floor
from typing import NamedTuple

from .._svg import number_label
from .._words import percent
from .._words import text as e

WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 380, 320, 46, 40, 12


class Place(NamedTuple):
    """A value with its interval."""

    value: float
    low: float
    high: float


class Dot(NamedTuple):
    """An arm: its number in the legend, where it stands, and whether no other arm beats it."""

    number: int
    name: str
    x: Place
    y: Place
    front: bool


class Axis(NamedTuple):
    """What an axis shows; `better` says where good is: `lower` or `higher`."""

    title: str
    better: str
    share: bool = True
    """Shown in per cent; else as a plain number."""


def scatter(title: str, dots: Sequence[Dot], across: Axis, up: Axis) -> str:
    """A figure. Arms on the front are filled, the others hollow."""
    wide, high = _range((d.x for d in dots), across), _range((d.y for d in dots), up)
    taken = [(_x(d.x.value, wide), _y(d.y.value, high)) for d in dots]
    parts = [_axes(wide, across, high, up)]
    for dot, (x, y) in zip(dots, taken, strict=True):
        kind = "after" if dot.front else "before"
        parts.append(
            f'<line class="{kind} thin" x1="{_x(dot.x.low, wide):.1f}" x2="{_x(dot.x.high, wide):.1f}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/><line class="{kind} thin" x1="{x:.1f}" x2="{x:.1f}" y1="{_y(dot.y.low, high):.1f}" '
            f'y2="{_y(dot.y.high, high):.1f}"/><circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
        )
    spots = list(taken)
    edges = {"left": LEFT + 6, "right": WIDTH - 8, "bottom": HEIGHT - BOTTOM - 6}
    parts += [number_label(dot.number, x, y, spots, **edges) for dot, (x, y) in zip(dots, taken, strict=True)]
    told = "; ".join(f"{d.name}: {_say(d.x.value, across)} {across.title}, {_say(d.y.value, up)} {up.title}"
                     for d in dots)  # fmt: skip
    return (
        f"<figure><figcaption>{e(title)}<small>{e(_corner(across, up))} is best; filled: no other arm beats it"
        f'</small></figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{e(title)}</title><desc>{e(told)}</desc>{''.join(parts)}</svg></figure>"
    )


def _corner(across: Axis, up: Axis) -> str:
    return f"{'upper' if up.better == 'higher' else 'lower'} {'right' if across.better == 'higher' else 'left'}"


def _say(value: float, axis: Axis) -> str:
    return percent(value) if axis.share else f"{value:,.0f}"


class _Range(NamedTuple):
    low: float
    high: float
    step: float


def _range(places: Iterable[Place], axis: Axis) -> _Range:
    """Whole steps around all intervals, at most six."""
    ends = [end for place in places for end in (place.low, place.high)]
    low, high = min(ends), max(ends)
    steps = (0.02, 0.05, 0.1, 0.2, 0.25) if axis.share else [m * 10**n for n in range(-1, 7) for m in (1, 2, 5)]
    step = next((s for s in steps if (high - low) / s <= 4), steps[-1])
    bottom = max(0, floor(low / step + 1e-9))
    return _Range(bottom * step, max(bottom + 1, ceil(high / step - 1e-9)) * step, step)


def _axes(wide: _Range, across: Axis, high: _Range, up: Axis) -> str:
    parts = []
    for tick in _ticks(wide):
        x = _x(tick, wide)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{EDGE}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">'
                     f"{_tick(tick, across)}</text>")  # fmt: skip
    for tick in _ticks(high):
        y = _y(tick, high)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - EDGE}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_tick(tick, up)}</text>')
    middle, y = (LEFT + WIDTH - EDGE) / 2, (HEIGHT - BOTTOM + EDGE) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{e(across.title)}</text>')
    parts.append(f'<text class="tick" x="12" y="{y}" text-anchor="middle" transform="rotate(-90 12 {y})">'
                 f"{e(up.title)}</text>")  # fmt: skip
    return "".join(parts)


def _tick(value: float, axis: Axis) -> str:
    return f"{value * 100:.0f}" if axis.share else f"{value:,g}"


def _ticks(axis: _Range) -> list[float]:
    return [axis.low + i * axis.step for i in range(round((axis.high - axis.low) / axis.step) + 1)]


def _x(value: float, axis: _Range) -> float:
    return LEFT + (value - axis.low) / (axis.high - axis.low) * (WIDTH - EDGE - LEFT)


def _y(value: float, axis: _Range) -> float:
    return HEIGHT - BOTTOM - (value - axis.low) / (axis.high - axis.low) * (HEIGHT - BOTTOM - EDGE)
