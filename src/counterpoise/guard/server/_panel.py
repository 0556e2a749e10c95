"""The guards of a server: loaded once, each behind its queue, with the verdicts that are remembered."""

import asyncio
import sys
from collections.abc import Coroutine, Mapping
from typing import Any

from .._registry import make_guard
from .._values import Exchange, Guard, Verdict, prepare
from ._batcher import Batcher, GuardFailed
from ._cache import Cache, content_key
from ._config import ServerConfig
from ._judge import Looked
from ._metrics import Metrics
from ._tasks import gathered
from ._views import Part, views


class Panel:
    """All guards that some policy names. Whatever they load is loaded when this is made: no request waits for it."""

    def __init__(self, config: ServerConfig, metrics: Metrics, guards: Mapping[str, Guard]):
        self._config, self._metrics = config, metrics
        names = dict.fromkeys(name for policy in config.policies.values() for name in policy.guards)
        made = {name: guards.get(name) or make_guard(name) for name in names}
        for guard in made.values():
            prepare(guard)
        self._batchers = {name: self._batcher(name, guard) for name, guard in made.items()}
        self._cache = Cache(config.cache)
        if "torch" in sys.modules:  # what this thread computed while loading must not slow the guards' threads down
            from counterpoise.models import release_cores

            release_cores()

    def _batcher(self, name: str, guard: Guard) -> Batcher:
        own = self._config
        sizes = self._metrics.batch.labels(name)
        batcher = Batcher(
            guard, size=own.batch, wait=own.wait_ms / 1000, limit=own.queue, patience=own.seconds,
            on_batch=lambda n: sizes.observe(n),
        )  # fmt: skip
        self._metrics.waiting.labels(name).set_function(lambda: batcher.waiting)
        return batcher

    def __getitem__(self, name: str) -> Guard:
        return self._batchers[name].guard

    @property
    def waiting(self) -> dict[str, int]:
        """Exchanges that wait, by guard."""
        return {name: batcher.waiting for name, batcher in self._batchers.items()}

    @property
    def trouble(self) -> str | None:
        """Why verdicts cannot be given at the moment, or None."""
        return next((each.trouble for each in self._batchers.values() if each.trouble), None)

    def identity(self, name: str) -> str:
        """Name, id and revision of a guard: what its verdicts depend on."""
        guard = self[name]
        revision = getattr(guard, "revision", None) or getattr(getattr(guard, "head", None), "revision", "")
        return f"{name} {guard.id} {revision}"

    def parts(self, name: str, exchange: Exchange) -> frozenset[Part]:
        """The parts of an exchange that a guard would see."""
        return frozenset(part for view in views(self[name].sees, exchange) for part in view.parts)

    async def ask(self, name: str, exchange: Exchange) -> tuple[list[Looked], bool]:
        """All passes of one guard over an exchange, and whether every verdict was known already.

        Raises GuardFailed, or ApiError 429 when too many wait.
        """
        seconds, batcher = self._config.seconds, self._batchers[name]
        shown = views(batcher.guard.sees, exchange)
        keys = [content_key(self.identity(name), view.exchange) for view in shown]
        known = [self._cache.get(key) for key in keys]

        def verdict(view: Exchange, old: Verdict | None) -> Coroutine[Any, Any, Verdict]:
            return batcher.verdict(view) if old is None else _now(old)

        try:
            async with asyncio.timeout(seconds):
                verdicts = await gathered(verdict(view.exchange, old) for view, old in zip(shown, known, strict=True))
        except TimeoutError:
            raise GuardFailed(504, "guard_timeout", f"no verdict within {seconds:g} s") from None
        for key, found in zip(keys, verdicts, strict=True):
            self._cache.put(key, found)
        if hits := sum(old is not None for old in known):
            self._metrics.cached.labels(name).inc(hits)
        return list(zip(shown, verdicts, strict=True)), hits == len(shown)

    def close(self) -> None:
        """Stop the guards' threads."""
        for batcher in self._batchers.values():
            batcher.close()


async def _now(verdict: Verdict) -> Verdict:
    return verdict
