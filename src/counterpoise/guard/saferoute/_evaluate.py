"""The table of a pair of guards: each alone, the router, and every baseline, on rows that nothing was trained on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from counterpoise.base import InputError
from counterpoise.evals.stats import wilson

from ._baselines import Fitted
from ._labels import Bools, cascade, route, routing_labels
from ._metrics import Point, Scores, average_precision, curve, decided, f1_interval, scores
from ._observe import Observed
from ._router import Router
from ._train import route_scores

SMALL, LARGE, RANDOM, ORACLE, ROUTER = "small alone", "large alone", "Random", "Oracle", "SafeRoute"


class Line(NamedTuple):
    """One way of deciding who looks."""

    name: str
    routing: Scores | None
    """Against the routing labels; None where nobody is asked to choose."""
    safety: Scores
    safety_low: float
    safety_high: float
    auprc: float | None
    usage: float
    """Share of rows sent to the large guard."""
    usage_low: float
    usage_high: float
    cost: float
    """Seconds a row relative to the small guard alone: 1 + share sent x (large / small)."""
    cost_large: float
    """The same relative to the large guard alone."""


@dataclass(frozen=True)
class Evaluation:
    """All lines, and the usage-F1 curve of the router."""

    lines: tuple[Line, ...]
    points: tuple[Point, ...]
    threshold: float
    n: int
    hard: int
    """Rows that only the large guard gets right."""
    unseen: int
    """Rows that the small guard could not look at, and that are always sent on."""
    seconds_small: float
    seconds_large: float

    def line(self, name: str) -> Line:
        """By name. Raises InputError for a name that is not in the table."""
        for line in self.lines:
            if line.name == name:
                return line
        raise InputError.unknown("line", name, [line.name for line in self.lines])

    def to_json(self) -> dict[str, Any]:
        """Plain values for a results file."""
        value = asdict(self)
        value["lines"] = [
            line._asdict() | {"safety": line.safety._asdict(), "routing": line.routing and line.routing._asdict()}
            for line in self.lines
        ]
        value["points"] = [point._asdict() for point in self.points]
        return value


def evaluate_route(
    router: Router,
    small: Observed,
    large: Observed,
    gold: Bools,
    groups: Sequence[str],
    fitted: Fitted,
    *,
    threshold: float | None = None,
    seed: int = 0,
) -> Evaluation:
    """Every line on the same rows. `unknown` is wrong on either side, in safety numbers as in routing labels.
    Raises InputError without rows."""
    if not len(gold):
        raise InputError("evaluation: no rows")
    limit = router.threshold if threshold is None else threshold
    hard, must = routing_labels(small.label, large.label, gold), small.must
    p = route_scores(router, small)
    sends: dict[str, Bools] = {
        SMALL: np.zeros(len(gold), bool),
        LARGE: np.ones(len(gold), bool),
        ROUTER: route(p, limit, must),
    }
    guess = np.where(np.isnan(small.p), 0.5, small.p)
    sends |= {name: sent | must for name, sent in fitted.decisions(guess).items()}
    sends[RANDOM] = np.random.default_rng(seed).random(len(gold)) < 0.5
    sends[ORACLE] = hard
    costs = float(small.cost.mean()), float(large.cost.mean())
    lines = tuple(_line(name, sent, small, large, gold, hard, groups, costs) for name, sent in sends.items())
    points = tuple(curve(p, small.label, large.label, gold, hard, must))
    return Evaluation(lines, points, limit, len(gold), int(hard.sum()), int(must.sum()), *costs)


def _line(
    name: str,
    sent: Bools,
    small: Observed,
    large: Observed,
    gold: Bools,
    hard: Bools,
    groups: Sequence[str],
    costs: tuple[float, float],
) -> Line:
    stopped = decided(cascade(small.label, large.label, sent), gold)
    low, high = f1_interval(gold, stopped, groups)
    p = np.where(sent, large.decision, small.decision)
    usage = float(sent.mean())
    use_low, use_high = wilson(float(sent.sum()), len(sent))
    # the large guard alone needs no small one; a cascade pays for the small one on every row
    seconds = costs[1] if name == LARGE else costs[0] + usage * costs[1]
    alone = name in (SMALL, LARGE)
    routing = None if alone else scores(hard, sent)
    relative = [seconds / cost if cost > 0 else float("nan") for cost in costs]
    return Line(name, routing, scores(gold, stopped), low, high, average_precision(gold, p), usage, use_low, use_high,
                relative[0], relative[1])  # fmt: skip
