"""The table of a pair of guards: each alone, the router, and every baseline, on rows that nothing was trained on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError
from counterpoise.evals.stats import wilson

from .._labelled import Labelled
from ._baselines import Fitted, fused
from ._labels import Bools, Floats, cascade, route, routing_labels
from ._metrics import Point, Scores, average_precision, curve, decided, f1_interval, scores
from ._observe import Observed, observe, spec_of
from ._routed import saferoute
from ._router import Router
from ._train import route_scores

SMALL, LARGE, RANDOM, ORACLE, ROUTER = "small alone", "large alone", "Random", "Oracle", "SafeRoute"
TUNED = f"{ROUTER}, tuned"
FUSION = "Fusion 0.7/0.3"


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

    @property
    def better(self) -> Line:
        """The guard alone with the higher safety F1 (the small one of equals): what a pair has to beat."""
        small, large = self.line(SMALL), self.line(LARGE)
        return large if large.safety.f1 > small.safety.f1 else small

    @property
    def marks(self) -> dict[str, tuple[float, float]]:
        """Usage and safety F1 of the lines beside the router, for a picture; without the tuned ones, which would crowd
        it."""
        shown = (line for line in self.lines if line.name != ROUTER and not line.name.endswith("tuned"))
        return {line.name: (line.usage, line.safety.f1) for line in shown}

    def line(self, name: str) -> Line:
        """By name. Raises InputError for a name that is not in the table."""
        for line in self.lines:
            if line.name == name:
                return line
        raise InputError.unknown("line", name, [line.name for line in self.lines])

    def to_json(self) -> dict[str, Any]:
        """Plain values for a results file."""
        value = asdict(self) | {"better": self.better.name}
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
    sends: dict[str, Bools] = {ROUTER: route(p, limit, must)}
    if "tuned" in router.card:
        sends[TUNED] = route(p, float(router.card["tuned"]), must)
    guess = np.where(np.isnan(small.p), 0.5, small.p)
    sends |= {name: sent | must for name, sent in fitted.decisions(guess).items()}
    sends[RANDOM] = np.random.default_rng(seed).random(len(gold)) < 0.5
    sends[ORACLE] = hard
    judge = _Judge(gold, groups, hard, float(small.cost.mean()), float(large.cost.mean()))
    lines = [judge.alone(SMALL, small, 0.0), judge.alone(LARGE, large, 1.0)]
    lines += [judge.pair(name, sent, small, large) for name, sent in sends.items()]
    for name, weight in ((FUSION, fitted.fusion), ("Fusion, tuned", fitted.fusion_tuned)):
        label, mixed = fused((small.label, small.p), (large.label, large.p), weight)
        lines.append(judge.line(name, None, label, mixed, 1.0, judge.small + judge.large))
    points = tuple(curve(p, small.label, large.label, gold, hard, must))
    return Evaluation(
        tuple(lines), points, limit, len(gold), int(hard.sum()), int(must.sum()), judge.small, judge.large
    )


class _Judge(NamedTuple):
    """What lines of one table share: the truth, groups, routing labels, and seconds a row of each guard."""

    gold: Bools
    groups: Sequence[str]
    hard: Bools
    small: float
    large: float

    def alone(self, name: str, guard: Observed, usage: float) -> Line:
        """One guard on every row; the large one alone needs no small one."""
        return self.line(name, None, guard.label, guard.decision, usage, self.large if usage else self.small)

    def pair(self, name: str, sent: Bools, small: Observed, large: Observed) -> Line:
        """A cascade pays for the small guard on every row, and for the large one where it was asked."""
        usage = float(sent.mean())
        label, p = cascade(small.label, large.label, sent), np.where(sent, large.decision, small.decision)
        return self.line(name, scores(self.hard, sent), label, p, usage, self.small + usage * self.large)

    def line(
        self, name: str, routing: Scores | None, label: NDArray[np.int8], p: Floats, usage: float, seconds: float
    ) -> Line:
        """From the verdicts that stand, the probabilities behind them, and what they cost."""
        stopped, n = decided(label, self.gold), len(self.gold)
        low, high = f1_interval(self.gold, stopped, self.groups)
        relative = [seconds / cost if cost > 0 else float("nan") for cost in (self.small, self.large)]
        return Line(name, routing, scores(self.gold, stopped), low, high, average_precision(self.gold, p), usage,
                    *wilson(round(usage * n), n), *relative)  # fmt: skip


def evaluate_folder(
    folder: Path, rows: Sequence[Labelled], *, cache: Path | None = None, threshold: float | None = None
) -> Evaluation:
    """Both guards of a router's folder look at the rows (or at what is kept in `cache`), then every line decides.

    Raises InputError when the folder holds no router, or its small guard is another one now.
    """
    pair = saferoute(str(folder))
    pair.router.spec.require(spec_of(pair.small, rows))
    try:
        fitted = Fitted(**pair.router.card["baselines"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder}: its card lacks what the baselines learned; train the router again") from error
    small, large = observe(pair.small, rows, cache), observe(pair.large, rows, cache)
    gold = np.array([row.unsafe for row in rows])
    return evaluate_route(pair.router, small, large, gold, [row.group for row in rows], fitted, threshold=threshold)
