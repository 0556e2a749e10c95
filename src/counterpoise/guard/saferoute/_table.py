"""Evaluations of several seeds as a Markdown table: mean over seeds, standard deviation where a seed matters."""

from collections.abc import Sequence

import numpy as np

from ._evaluate import ROUTER, Evaluation, Line

HEAD = (
    "| routing | routing F1 | safety F1 (95 %) | precision | recall | AUPRC | sent to the large guard "
    "| cost, small = 1 | cost, large = 1 |\n|---|---|---|---|---|---|---|---|---|"
)


def markdown(runs: Sequence[Evaluation]) -> str:
    """One row per way of routing. Intervals are those of the first seed (bootstrap over groups)."""
    rows = [HEAD]
    for first in runs[0].lines:
        same = [run.line(first.name) for run in runs]
        rows.append("| " + " | ".join(_cells(first, same)) + " |")
    return "\n".join(rows)


def _cells(first: Line, same: Sequence[Line]) -> list[str]:
    routing = [line.routing.f1 for line in same if line.routing is not None]
    ap = [line.auprc for line in same if line.auprc is not None]
    return [
        first.name,
        _mean(routing) if routing else "-",
        f"{_mean([x.safety.f1 for x in same])} ({first.safety_low:.3f} to {first.safety_high:.3f})",
        _mean([x.safety.precision for x in same]),
        _mean([x.safety.recall for x in same]),
        _mean(ap) if ap else "-",
        f"{100 * float(np.mean([x.usage for x in same])):.1f} %",
        f"{float(np.mean([x.cost for x in same])):.2f}",
        f"{float(np.mean([x.cost_large for x in same])):.2f}",
    ]


def _mean(values: Sequence[float]) -> str:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{float(np.mean(values)):.3f}" + (f" ± {spread:.3f}" if spread > 0.0005 else "")


def where_not(runs: Sequence[Evaluation]) -> list[str]:
    """Baselines whose routing F1 the router does not beat on average, with both numbers."""

    def mean(name: str) -> float:
        return float(np.mean([line.routing.f1 for run in runs if (line := run.line(name)).routing is not None]))

    own = mean(ROUTER)
    names = [line.name for line in runs[0].lines if line.name.startswith("Entropy") or line.name == "Random"]
    return [f"{name} ({mean(name):.3f} against {own:.3f})" for name in names if mean(name) >= own]
