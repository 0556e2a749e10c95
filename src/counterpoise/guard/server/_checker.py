"""The heart of the server: an exchange goes in, the guards of a policy look at it, a decision comes out."""

import asyncio
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .._registry import make_guard
from .._values import Exchange, Guard, Verdict
from ._batcher import Batcher, GuardFailed
from ._cache import Cache, content_key
from ._config import ServerConfig
from ._decision import Decision
from ._errors import ApiError
from ._intake import Intake
from ._judge import Looked, judge, policy_version, together
from ._metrics import Metrics
from ._tasks import gathered
from ._trace import note, span
from ._views import Part, View, views

log = logging.getLogger("counterpoise.guard")


class Checker:
    """Guards, policies and the cache of one server. Guards are loaded once, here."""

    def __init__(self, config: ServerConfig, guards: Mapping[str, Guard] | None = None):
        self.config, self.metrics = config, Metrics()
        names = dict.fromkeys(name for policy in config.policies.values() for name in policy.guards)
        given = guards or {}
        self._batchers = {name: self._batcher(name, given.get(name) or make_guard(name)) for name in names}
        self._cache = Cache(config.cache)
        if "torch" in sys.modules:  # what this thread computed while loading must not slow the guards' threads down
            from counterpoise.models._cores import release_cores

            release_cores()

    def _batcher(self, name: str, guard: Guard) -> Batcher:
        own = self.config
        sizes = self.metrics.batch.labels(name)
        batcher = Batcher(
            guard, size=own.batch, wait=own.wait_ms / 1000, limit=own.queue, patience=own.seconds,
            on_batch=lambda n: sizes.observe(n),
        )  # fmt: skip
        self.metrics.waiting.labels(name).set_function(lambda: batcher.waiting)
        return batcher

    @property
    def guards(self) -> dict[str, Guard]:
        return {name: batcher.guard for name, batcher in self._batchers.items()}

    @property
    def waiting(self) -> dict[str, int]:
        """Exchanges that wait, by guard."""
        return {name: batcher.waiting for name, batcher in self._batchers.items()}

    @property
    def trouble(self) -> str | None:
        """Why verdicts cannot be given at the moment, or None."""
        return next((each.trouble for each in self._batchers.values() if each.trouble), None)

    def version(self, policy: str) -> str:
        """Identifies a policy with everything that its verdicts depend on."""
        own = self.config.policies[policy]
        return policy_version(own, [_identity(name, self._batchers[name].guard) for name in own.guards])

    def known(self, names: Sequence[str]) -> list[str]:
        """The policies that were asked for, or the default one. Raises ApiError 404 that lists the known ones."""
        for name in names:
            if name not in self.config.policies:
                known = ", ".join(self.config.policies)
                raise ApiError(404, "unknown_policy", f"unknown policy; known ones: {known}", "policy")
        return list(dict.fromkeys(names)) or [self.config.default_policy]

    async def decide(
        self, intake: Intake, policies: Sequence[str] = (), *, thresholds: Mapping[str, float] | None = None,
        dry_run: bool = False,
    ) -> Decision:  # fmt: skip
        """The decision of all named policies together. `uninspected` parts of the intake block.

        Raises ApiError: 404 unknown policy, 429 too many wait, 503 or 504 when a guard failed (unless failing open, or
        all policies are in dry run, which lets everything pass).
        """
        began = time.perf_counter()
        names = self.known(policies)
        exchange = intake.exchange
        lenient = self.config.fail_open or dry_run or all(self.config.policies[name].dry_run for name in names)
        with span("guard.decide", policies=names, texts=exchange.texts, images=exchange.images) as current:
            wanted = list(dict.fromkeys(g for name in names for g in self.config.policies[name].guards))
            answers = await asyncio.gather(*(self._ask(guard, exchange) for guard in wanted), return_exceptions=True)
            looked: dict[str, list[Looked]] = {}
            excused: dict[str, frozenset[Part]] = {}
            cached = True
            for guard, answer in zip(wanted, answers, strict=True):
                if isinstance(answer, BaseException):
                    excused[guard] = self._failed(guard, answer, exchange, lenient=lenient)
                    cached = False
                else:
                    looked[guard], all_cached = answer
                    cached &= all_cached
            found = []
            for name in names:
                policy = self.config.policies[name]
                one = judge(
                    name, policy.model_copy(update={"dry_run": policy.dry_run or dry_run}), exchange,
                    [each for guard in policy.guards for each in looked.get(guard, [])],
                    version=self.version(name), uninspected=intake.uninspected, thresholds=thresholds,
                    excused=frozenset(part for guard in policy.guards for part in excused.get(guard, ())),
                    places=intake.places,
                )  # fmt: skip
                found.append(replace(one, degraded=any(guard in excused for guard in policy.guards), cached=cached))
            decision = replace(together(found), latency_ms=(time.perf_counter() - began) * 1000)
            note(current, verdict=decision.verdict, cached=decision.cached, degraded=decision.degraded)
        self._count(found, decision)
        return decision

    async def _ask(self, name: str, exchange: Exchange) -> tuple[list[Looked], bool]:
        """All passes of one guard over an exchange, and whether every verdict was known already."""
        seconds = self.config.seconds
        batcher = self._batchers[name]
        shown = views(batcher.guard.sees, exchange)
        keys = [content_key(_identity(name, batcher.guard), view.exchange) for view in shown]
        known = [self._cache.get(key) for key in keys]
        try:
            async with asyncio.timeout(seconds):
                verdicts = await gathered(
                    batcher.verdict(view.exchange) if old is None else _now(old)
                    for view, old in zip(shown, known, strict=True)
                )
        except TimeoutError:
            raise GuardFailed(504, "guard_timeout", f"no verdict within {seconds:g} s") from None
        for key, verdict in zip(keys, verdicts, strict=True):
            self._cache.put(key, verdict)
        if hits := sum(old is not None for old in known):
            self.metrics.cached.labels(name).inc(hits)
        return list(zip(shown, verdicts, strict=True)), hits == len(shown)

    def _failed(self, name: str, error: BaseException, exchange: Exchange, *, lenient: bool) -> frozenset[Part]:
        """A guard without a verdict: raise, or when lenient say which parts it would have seen."""
        if not isinstance(error, GuardFailed):
            raise error
        self.metrics.failures.labels(name, error.code).inc()
        if not lenient:
            raise error
        log.error("guard failed, request passes", extra={"guard": name, "error": error.code, "fail_open": True})
        shown: list[View] = views(self._batchers[name].guard.sees, exchange)
        return frozenset(part for view in shown for part in view.parts)

    def _count(self, found: Sequence[Decision], decision: Decision) -> None:
        for one in found:  # by policy: their combinations are the clients', and without end
            self.metrics.decisions.labels(one.policy, one.verdict).inc()
        if decision.degraded:
            self.metrics.degraded.inc()
        checked, total = decision.coverage.images_checked, decision.coverage.images_total
        if total:
            self.metrics.images.labels("yes").inc(checked)
            self.metrics.images.labels("no").inc(total - checked)

    def close(self) -> None:
        """Stop the guards' threads."""
        for batcher in self._batchers.values():
            batcher.close()


async def _now(verdict: Verdict) -> Verdict:
    return verdict


def _identity(name: str, guard: Guard) -> str:
    revision = getattr(guard, "revision", None) or getattr(getattr(guard, "head", None), "revision", "")
    return f"{name} {guard.id} {revision}"
