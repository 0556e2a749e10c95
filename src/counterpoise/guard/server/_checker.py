"""The heart of the server: an exchange goes in, the guards of a policy look at it, a decision comes out."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from .._values import Exchange, Guard
from ._batcher import GuardFailed
from ._config import ServerConfig
from ._decision import Decision
from ._errors import ApiError
from ._judge import Looked, judge, policy_version, together
from ._observe import Metrics, note, span
from ._panel import Panel
from ._views import Part
from .intake import Intake

log = logging.getLogger("counterpoise.guard")


class _Answers(NamedTuple):
    """What the guards said, by name."""

    looked: Mapping[str, list[Looked]]
    excused: Mapping[str, frozenset[Part]]
    """Parts that guards which failed would have seen, where that is let pass."""
    cached: bool


class Checker:
    """Policies, and the guards that they ask."""

    def __init__(self, config: ServerConfig, guards: Mapping[str, Guard] | None = None):
        self.config, self.metrics = config, Metrics()
        self.panel = Panel(config, self.metrics, guards or {})

    def version(self, policy: str) -> str:
        """Identifies a policy with everything that its verdicts depend on."""
        own = self.config.policies[policy]
        return policy_version(own, [self.panel.identity(name) for name in own.guards])

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
            answers = await self._ask(names, exchange, lenient=lenient)
            found = [self._judged(name, intake, answers, thresholds, dry_run=dry_run) for name in names]
            decision = replace(together(found), latency_ms=(time.perf_counter() - began) * 1000)
            note(current, verdict=decision.verdict, cached=decision.cached, degraded=decision.degraded)
        self._count(found, decision)
        return decision

    async def _ask(self, policies: Sequence[str], exchange: Exchange, *, lenient: bool) -> _Answers:
        """Every guard of the policies once, all at the same time."""
        wanted = list(dict.fromkeys(guard for name in policies for guard in self.config.policies[name].guards))
        answers = await asyncio.gather(*(self.panel.ask(guard, exchange) for guard in wanted), return_exceptions=True)
        looked: dict[str, list[Looked]] = {}
        excused: dict[str, frozenset[Part]] = {}
        known: list[bool] = []
        for guard, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, BaseException):
                excused[guard] = self._failed(guard, answer, exchange, lenient=lenient)
            else:
                looked[guard], cached = answer
                known.append(cached)
        return _Answers(looked, excused, not excused and all(known))

    def _judged(
        self, name: str, intake: Intake, answers: _Answers, thresholds: Mapping[str, float] | None, *, dry_run: bool
    ) -> Decision:
        """What one policy makes of the guards' answers."""
        policy = self.config.policies[name]
        decision = judge(
            name, policy.model_copy(update={"dry_run": policy.dry_run or dry_run}), intake.exchange,
            [each for guard in policy.guards for each in answers.looked.get(guard, [])],
            version=self.version(name), uninspected=intake.uninspected, thresholds=thresholds,
            excused=frozenset(part for guard in policy.guards for part in answers.excused.get(guard, ())),
            places=intake.places,
        )  # fmt: skip
        degraded = any(guard in answers.excused for guard in policy.guards)
        return replace(decision, degraded=degraded, cached=answers.cached)

    def _failed(self, name: str, error: BaseException, exchange: Exchange, *, lenient: bool) -> frozenset[Part]:
        """A guard without a verdict: raise, or when lenient say which parts it would have seen."""
        if not isinstance(error, GuardFailed):
            raise error
        self.metrics.failures.labels(name, error.code).inc()
        if not lenient:
            raise error
        log.error("guard failed, request passes", extra={"guard": name, "error": error.code, "fail_open": True})
        return self.panel.parts(name, exchange)

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
        self.panel.close()
