"""A policy over guards: who looks at what, what it adds up to, and what happens when a guard fails."""

import asyncio
import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from counterpoise.chat import Image, Message

from .._values import Exchange, Guard, Sees, Verdict
from ._config import Policy, ServerConfig
from ._decision import Coverage, Decision, Reason
from ._errors import ApiError
from ._metrics import Metrics
from ._worker import Worker

log = logging.getLogger("counterpoise.guard")


@dataclass(frozen=True)
class _Look:
    """What one guard is shown: all of an exchange, or only the texts or images that it can see."""

    worker: Worker
    exchange: Exchange
    texts: bool
    images: bool


class Checker:
    """Decides about exchanges by the policies of a configuration. One per server."""

    def __init__(self, config: ServerConfig, guards: Mapping[str, Guard], metrics: Metrics | None = None):
        self.config, self.metrics = config, metrics or Metrics()
        self.workers = {name: self._worker(name, guard) for name, guard in guards.items()}
        self.versions = {name: self._version(policy) for name, policy in config.policies.items()}
        self._cache: OrderedDict[str, Decision] = OrderedDict()

    def _worker(self, name: str, guard: Guard) -> Worker:
        seen: Callable[[int, float], None] = lambda rows, seconds: self.metrics.batch(name, rows, seconds)  # noqa: E731
        c = self.config
        return Worker(guard, batch=c.batch, wait=c.wait_ms / 1000, limit=c.queue, seen=seen)

    def _version(self, policy: Policy) -> str:
        guards = [(name, self.workers[name].guard.id, getattr(self.workers[name].guard, "revision", None))
                  for name in policy.guards]  # fmt: skip
        text = json.dumps([policy.model_dump(mode="json"), guards], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def policy(self, name: str | None) -> tuple[str, Policy]:
        """A policy by name, or the default one. Raises ApiError 404 with the known names."""
        name = name or self.config.default_policy
        if name not in self.config.policies:
            known = ", ".join(sorted(self.config.policies))
            raise ApiError(404, "unknown_policy", f"unknown policy; known: {known}", "policy")
        return name, self.config.policies[name]

    @property
    def trouble(self) -> str | None:
        """Why the server cannot decide, or None."""
        for name, worker in self.workers.items():
            if not worker.alive:
                return f"guard {name} has died"
            if worker.busy > 2 * self.config.seconds:
                return f"guard {name} has been looking at one batch for {worker.busy:.0f} s"
        return None

    async def check(self, exchange: Exchange, *, policy: str | None = None, uninspected: Sequence[str] = (),
                    thresholds: Mapping[str, float] | None = None, dry_run: bool | None = None,
                    seconds: float | None = None) -> Decision:  # fmt: skip
        """The decision about one exchange; `uninspected` names parts that no guard is able to look at.

        Raises ApiError: 404 for a policy that is not known, 429 when too many wait, 503 or 504 when a guard fails or is
        late and the server is not told to fail open.
        """
        began = time.perf_counter()
        name, settings = self.policy(policy)
        if thresholds or dry_run is not None:
            settings = settings.model_copy(update={
                "thresholds": {**settings.thresholds, **(thresholds or {})},
                "dry_run": settings.dry_run if dry_run is None else dry_run})  # fmt: skip
        key = await asyncio.to_thread(_key, exchange, name, self.versions[name], uninspected, settings)
        if key in self._cache:
            self._cache.move_to_end(key)
            found = replace(self._cache[key], cached=True)
        else:
            found = await self._decide(exchange, name, settings, tuple(uninspected), seconds or self.config.seconds)
            if self.config.cache and not found.degraded:
                self._cache[key] = replace(found, verdicts=tuple(replace(v, features=None) for v in found.verdicts))
                while len(self._cache) > self.config.cache:
                    self._cache.popitem(last=False)
        found = replace(found, latency_ms=1000 * (time.perf_counter() - began))
        self.metrics.decision(found)
        return found

    async def _decide(self, exchange: Exchange, name: str, policy: Policy, uninspected: tuple[str, ...],
                      seconds: float) -> Decision:  # fmt: skip
        looks = [look for guard in policy.guards if (look := _look(self.workers[guard], exchange)) is not None]
        degraded = False
        try:
            verdicts = await asyncio.wait_for(_all(looks), seconds)
        except ApiError:
            raise
        except Exception as error:
            late = isinstance(error, TimeoutError)
            log.error("guard failed", extra={"policy": name, "error": type(error).__name__,
                                             "fail_open": self.config.fail_open})  # fmt: skip
            self.metrics.failure(late=late)
            if not self.config.fail_open:
                code, status = ("guard_timeout", 504) if late else ("guard_unavailable", 503)
                what = "no verdict in time" if late else "a guard failed"
                raise ApiError(status, code, f"{what}; the request is not let through") from error
            verdicts, looks, degraded = [], [], True
        return _decision(exchange, name, self.versions[name], policy, looks, verdicts, uninspected, degraded)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()


async def _all(looks: Sequence[_Look]) -> list[Verdict]:
    return list(await asyncio.gather(*(look.worker.check(look.exchange) for look in looks)))


def _look(worker: Worker, exchange: Exchange) -> _Look | None:
    """What this guard can be shown of an exchange: all of it, its texts alone, or its images alone."""
    sees: Sees = worker.guard.sees
    texts = sees.texts and exchange.texts > 0
    images = sees.images != 0 and exchange.images > 0
    if not texts and not images:
        return None
    if not sees.texts:  # all images as one turn: a placeholder for the others would be a text
        pictures = tuple(image for message in exchange.conversation for image in message.images)
        return _Look(worker, Exchange((Message("user", pictures),)), False, True)
    answer = exchange.answer if sees.answers else None
    if answer != exchange.answer and not images:
        return None  # it cannot see the answer, which is what is asked about
    turns = []
    for message in exchange.conversation:
        parts = tuple(p for p in message.parts if images or not isinstance(p, Image))
        turns.append(Message(message.role, parts or ("(not shown)",)))
    whole = answer == exchange.answer and (images or not exchange.images)
    shown = exchange if whole else Exchange(tuple(turns), answer)
    return _Look(worker, shown, texts and answer == exchange.answer, images)


def _decision(exchange: Exchange, name: str, version: str, policy: Policy, looks: Sequence[_Look],
              verdicts: Sequence[Verdict], uninspected: tuple[str, ...], degraded: bool) -> Decision:  # fmt: skip
    both = list(zip(looks, verdicts, strict=True))
    texts = any(look.texts and 0 < v.inspected.texts == v.inspected.texts_total for look, v in both)
    images = any(
        look.images and v.inspected.images == v.inspected.images_total == look.exchange.images for look, v in both
    )
    coverage = Coverage(
        exchange.texts, exchange.texts if texts else 0, exchange.images, exchange.images if images else 0, uninspected
    )
    found = (name, version, coverage)
    if degraded:
        return Decision("allow", *found, dry_run=policy.dry_run, degraded=True)
    reasons = [reason for verdict in verdicts if (reason := _reason(verdict, policy)) is not None]
    if not coverage.complete:
        seen = f"{coverage.texts_checked} of {coverage.texts_total} texts, "
        seen += f"{coverage.images_checked} of {coverage.images_total} images inspected"
        if uninspected:
            seen += f"; nobody here looks at {', '.join(uninspected)}"
        reasons.append(Reason("policy", "uninspected_content", None, None, seen))
    doubt = [v for v in verdicts if v.label == "controversial"]
    verdict = "block" if reasons else "review" if doubt and policy.controversial == "review" else "allow"
    return Decision(verdict, *found, tuple(reasons), tuple(verdicts), policy.dry_run)  # type: ignore[arg-type]


def _reason(verdict: Verdict, policy: Policy) -> Reason | None:
    """Why this verdict blocks, or None. With a probability the strictest threshold that applies decides."""
    if verdict.label == "unknown":
        return Reason(verdict.guard, None, verdict.p_unsafe, None, f"not judged: {verdict.reason}")
    limits = [(policy.thresholds[c], c) for c in verdict.categories if c in policy.thresholds]
    if policy.threshold is not None:
        limits.append((policy.threshold, verdict.categories[0] if verdict.categories else ""))
    if limits and verdict.p_unsafe is not None:
        limit, category = min(limits)
        if verdict.p_unsafe < limit:
            return None
        return Reason(verdict.guard, category or None, verdict.p_unsafe, limit, "p_unsafe at or above the threshold")
    if verdict.label == "unsafe" or (verdict.label == "controversial" and policy.controversial == "block"):
        category = verdict.categories[0] if verdict.categories else None
        return Reason(verdict.guard, category, verdict.p_unsafe, None, verdict.label)
    return None


def _key(exchange: Exchange, name: str, version: str, uninspected: Sequence[str], policy: Policy) -> str:
    """Hash of everything that the decision depends on: texts, decoded pixels, policy."""
    parts: list[object] = [name, version, sorted(uninspected), policy.model_dump(mode="json"), exchange.answer]
    for message in exchange.conversation:
        own = [hashlib.sha256(p.pil().tobytes()).hexdigest() + str(p.size) if isinstance(p, Image) else ["text", p]
               for p in message.parts]  # fmt: skip
        parts.append([message.role, own])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
