"""The usage-F1 curve of a router as one inline SVG."""

from collections.abc import Mapping, Sequence
from html import escape

from ._svg import _svg

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 280, 46, 12, 14, 228
STYLE = (
    "<style>text{font:11px system-ui,sans-serif;fill:#5b636d}.grid{stroke:#dedbd3}.curve{fill:none;stroke:#1f5fbf;"
    "stroke-width:2}.mark{fill:#8a6d3b}.chosen{fill:none;stroke:#a3281f;stroke-width:2}</style>"
)


def routing_picture(
    title: str,
    curve: Sequence[tuple[float, float]],
    marks: Mapping[str, tuple[float, float]],
    chosen: tuple[float, float],
) -> str:
    """Safety F1 (upwards) over the share sent to the large guard; `marks` are other ways of routing, `chosen` the
    router at its threshold. All values are fractions in [0, 1]."""
    values = [f1 for _, f1 in (*curve, *marks.values(), chosen)]
    low = max(0.0, min(values) - 0.03)
    high = min(1.0, max(values) + 0.03)
    span = max(high - low, 0.02)

    def x(usage: float) -> float:
        return LEFT + usage * (WIDTH - LEFT - RIGHT)

    def y(f1: float) -> float:
        return BOTTOM - (f1 - low) / span * (BOTTOM - TOP)

    parts = [STYLE]
    for step in range(5):
        level = low + span * step / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(level) + 4:.1f}" text-anchor="end">{level:.2f}</text>')
        parts.append(f'<text x="{x(step / 4):.1f}" y="{BOTTOM + 16}" text-anchor="middle">{25 * step}</text>')
    path = " ".join(f"{'L' if n else 'M'}{x(a):.1f} {y(b):.1f}" for n, (a, b) in enumerate(sorted(curve)))
    parts.append(f'<path class="curve" d="{path}"/>')
    for name, (a, b) in marks.items():
        left = a > 0.7
        parts.append(f'<circle class="mark" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5"/>')
        anchor, shift = ("end", -6) if left else ("start", 6)
        parts.append(f'<text x="{x(a) + shift:.1f}" y="{y(b) - 5:.1f}" text-anchor="{anchor}">{escape(name)}</text>')
    parts.append(f'<circle class="chosen" cx="{x(chosen[0]):.1f}" cy="{y(chosen[1]):.1f}" r="6"/>')
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 14}" text-anchor="end">sent to the large guard, %</text>'
        f'<text x="{LEFT}" y="{TOP - 3}">safety F1</text>'
    )
    told = f"chosen: {100 * chosen[0]:.1f} % sent, F1 {chosen[1]:.3f}; " + "; ".join(
        f"{name}: {100 * a:.1f} % sent, F1 {b:.3f}" for name, (a, b) in marks.items()
    )
    return _svg(title, told, WIDTH, HEIGHT, parts)
