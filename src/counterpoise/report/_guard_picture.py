"""Whether a guard's probability means what it says, as inline SVG."""

from typing import TYPE_CHECKING

from counterpoise.guard.evaluate import Calibration

from ._svg import _svg
from ._words import percent

if TYPE_CHECKING:
    pass


SIDE = 300


def reliability_picture(title: str, found: Calibration) -> str:
    """Share of unsafe exchanges against mean p_unsafe, with 95 % intervals; the diagonal is perfect calibration. The
    strip below shows how many exchanges each bin holds."""
    left, top, bottom, strip = 40, 12, 232, 44

    def x(value: float) -> float:
        return left + value * (SIDE - left - 12)

    def y(value: float) -> float:
        return bottom - value * (bottom - top)

    lines = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        lines.append(f'<line class="grid" x1="{left}" x2="{x(1):.1f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        number = f"{100 * tick:.0f}"
        lines.append(f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{number}</text>')
        lines.append(f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 15}" text-anchor="middle">{number}</text>')
    lines.append(f'<line class="target" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>')
    most = max(part.n for part in found.bins)
    base = bottom + 24 + strip
    for part in found.bins:
        place = x(part.p)
        height = strip * part.n / most
        lines.append(
            f'<line class="after" x1="{place:.1f}" x2="{place:.1f}" y1="{y(part.high):.1f}" y2="{y(part.low):.1f}"/>'
            f'<circle class="after" cx="{place:.1f}" cy="{y(part.unsafe):.1f}" r="4.5"/>'
            f'<line class="before" x1="{place:.1f}" x2="{place:.1f}" y1="{base}" y2="{base - height:.1f}"/>'
            f'<text class="tick" x="{place:.1f}" y="{base + 13}" text-anchor="middle">{part.n}</text>'
        )
    told = "; ".join(f"mean p {100 * part.p:.0f} %: {percent(part.unsafe)} unsafe of {part.n}" for part in found.bins)
    return _svg(title, told, SIDE, base + 20, lines)
