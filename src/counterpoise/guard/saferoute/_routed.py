"""A pair of guards behind one protocol: the small one looks at everything, the large one where the router says so."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from counterpoise.base import InputError

from .._registry import make_guard
from .._values import Exchange, Guard, Sees, Verdict, identity, prepare
from ._labels import Bools, route
from ._router import FeatureSpec, Router, load_router


class Routed:
    """Verdicts in the order of the exchanges, whoever gave them.

    The large guard looks where the router's score exceeds the threshold, and wherever the small guard's verdict is
    `unknown` or carries no features: what it could not see or say is never kept.
    """

    def __init__(self, small: Guard, large: Guard, router: Router, *, threshold: float | None = None):
        given = router.threshold if threshold is None else threshold
        if not 0 <= given <= 1:
            raise InputError(f"threshold {given}: must lie between 0 and 1")
        wrong = router.card.get("small")
        if wrong is not None and wrong != identity(small):
            raise InputError(f"router: made for the small guard {wrong}; this one is {identity(small)}; train it again")
        self.small, self.large, self.router, self.threshold = small, large, router, given
        self.id = f"saferoute({small.id}>{large.id})"
        self.revision = f"{identity(small)} > {identity(large)} @ {given:g}"
        self.looked, self.sent = 0, 0
        """Exchanges so far, and how many went to the large guard: watch the share, its drift is the router's drift."""

    @property
    def sees(self) -> Sees:
        """What the large guard sees: what the small one cannot see is sent there."""
        return self.large.sees

    def prepare(self) -> None:
        """Both guards."""
        prepare(self.small)
        prepare(self.large)

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict each, in order. `guard` names who decided; `cost` adds both where both looked."""
        verdicts = list(self.small.check(exchanges))
        began = time.perf_counter()
        places = np.flatnonzero(self.routed(verdicts)).tolist()
        share = (time.perf_counter() - began) / max(len(exchanges), 1)
        verdicts = [dataclasses.replace(v, cost=v.cost + share) for v in verdicts]
        second = self.large.check([exchanges[n] for n in places]) if places else []
        for place, verdict in zip(places, second, strict=True):
            verdicts[place] = dataclasses.replace(verdict, cost=verdict.cost + verdicts[place].cost)
        self.looked += len(exchanges)
        self.sent += len(places)
        return verdicts

    def routed(self, verdicts: Sequence[Verdict]) -> Bools:
        """Which of the small guard's verdicts are discarded. Raises InputError when their features are not those that
        the router was trained on."""
        must = np.array([v.features is None or v.label == "unknown" for v in verdicts], bool)
        scores = np.ones(len(verdicts))
        for place in np.flatnonzero(~must).tolist():
            self.router.spec.require(FeatureSpec.of(self.small, verdicts[place]))
        seen = [v.features for v, sent in zip(verdicts, must, strict=True) if not sent and v.features is not None]
        if seen:
            scores[~must] = self.router(np.stack(seen).astype(np.float32))
        return route(scores, self.threshold, must)


def saferoute(
    detail: str | None = None, *, small: str | None = None, large: str | None = None, threshold: float | None = None
) -> Routed:
    """The pair of a router's folder (`counterpoise guard route train`); `small` and `large` replace its guards' specs.

    Raises InputError without a folder, and when the small guard is not the one the router was made for.
    """
    if detail is None:
        raise InputError(
            "guard saferoute: give the router's folder, saferoute:FOLDER; see counterpoise guard route train"
        )
    router = load_router(Path(detail))
    specs = [given or router.card.get(f"{name}_spec") for name, given in (("small", small), ("large", large))]
    if not all(specs):
        raise InputError(f"{detail}: does not name its guards; give small=... and large=...")
    return Routed(make_guard(str(specs[0])), make_guard(str(specs[1])), router, threshold=threshold)
