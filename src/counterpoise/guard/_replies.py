"""Guards of answers that `counterpoise.methods.safe_rlhf` trained: `severity:FOLDER`, with four grades
(Beaver-Guard-V), and `cost:FOLDER`, its cost model."""

import time
from collections.abc import Sequence

from counterpoise.base import InputError
from counterpoise.methods.safe_rlhf import CostGuard, Said, SeverityGuard

from ._values import Exchange, Inspected, Sees, Verdict, unknown


class ReplyGuard:
    """Rates answers; an exchange without one is unknown, since the guard was trained on replies."""

    def __init__(self, name: str, inner: SeverityGuard | CostGuard):
        self.id, self.inner = name, inner
        self.sees = Sees(texts=True, images=None if inner.loaded.is_vlm else 0, answers=True)

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict for each exchange, in order."""
        started = time.perf_counter()
        found: list[Verdict | None] = [None] * len(exchanges)
        for place, exchange in enumerate(exchanges):
            if not (exchange.answer and exchange.answer.strip()):
                found[place] = unknown(self.id, exchange, "there is no answer, and the guard rates answers only")
            elif self.sees.images is not None and exchange.images:
                found[place] = unknown(self.id, exchange, f"{exchange.images} images, the guard sees none")
        todo = [place for place, verdict in enumerate(found) if verdict is None]
        try:
            said: list[Said] = self.inner.rate([(exchanges[p].conversation, str(exchanges[p].answer)) for p in todo])
        except InputError as error:
            if len(todo) > 1:  # one exchange is at fault, such as a broken image: the others are rated by themselves
                return [verdict for exchange in exchanges for verdict in self.check([exchange])]
            return [unknown(self.id, exchange, str(error)) for exchange in exchanges]
        cost = (time.perf_counter() - started) / max(1, len(exchanges))
        for place, one in zip(todo, said, strict=True):
            own = exchanges[place]
            found[place] = Verdict(
                "unsafe" if one.flagged else "safe", self.id,
                Inspected(own.texts, own.texts, own.images, own.images), p_unsafe=one.p_unsafe, severity=one.severity,
                categories=(one.category,) if one.category else (), revision=self.inner.loaded.fingerprint, cost=cost,
            )  # fmt: skip
        return [verdict for verdict in found if verdict is not None]


def severity(detail: str = "") -> ReplyGuard:
    """The guard in a folder. Raises InputError without one."""
    if not detail:
        raise InputError("guard severity: name the adapter folder of a trained severity guard, severity:FOLDER")
    return ReplyGuard("severity", SeverityGuard.load(detail))


def cost(detail: str = "") -> ReplyGuard:
    """The cost model in the folder of a `cost` stage. Raises InputError without one."""
    if not detail:
        raise InputError("guard cost: name the folder of a trained cost model, cost:runs/NAME/cost")
    return ReplyGuard("cost", CostGuard.load(detail))
