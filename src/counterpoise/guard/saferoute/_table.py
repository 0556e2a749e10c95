"""Evaluations of several seeds as a Markdown table: mean over seeds, standard deviation where a seed matters."""

from collections.abc import Sequence

import numpy as np

from ._evaluate import ROUTER, SMALL, TUNED, Evaluation, Line

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


def where_not(runs: Sequence[Evaluation], *, tuned: bool = False) -> list[str]:
    """Baselines whose routing F1 the router does not beat on average, with both numbers: those at the paper's
    thresholds, or (tuned) all at the thresholds that were best on the router's rows."""

    def mean(name: str) -> float:
        return float(np.mean([line.routing.f1 for run in runs if (line := run.line(name)).routing is not None]))

    own = mean(TUNED if tuned else ROUTER)
    names = [
        line.name for line in runs[0].lines if line.name.startswith("Entropy") and tuned == line.name.endswith("tuned")
    ]
    return [f"{name} ({mean(name):.3f} against {own:.3f})" for name in [*names, "Random"] if mean(name) >= own]


def against_better(runs: Sequence[Evaluation]) -> str:
    """One sentence: the pair's safety F1 against that of the better guard alone, and what it costs beside it. A pair is
    never compared with a large guard that is weaker than the small one."""
    better = runs[0].better
    small = better.name == SMALL
    pair, alone, cost = (
        float(np.mean(values))
        for values in (
            [run.line(ROUTER).safety.f1 for run in runs],
            [run.line(better.name).safety.f1 for run in runs],
            [run.line(ROUTER).cost if small else run.line(ROUTER).cost_large for run in runs],
        )
    )
    text = (
        f"better guard alone: {better.name.split()[0]}, safety F1 {alone:.3f}; the pair {pair:.3f}, "
        f"{pair / alone:.1%} of it at {cost:.1%} of its cost"
        if alone
        else "neither guard catches anything"
    )
    weaker = "; the large guard is the weaker one here, and the pair gains nothing by asking it"
    return text + weaker * (small and pair <= alone)
