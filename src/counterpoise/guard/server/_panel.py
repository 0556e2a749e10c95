"""The guards of a server: loaded once, each behind its queue, with the verdicts that are remembered."""

import asyncio
import hashlib
import sys
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

from counterpoise.chat import Image

from .._reader import reading
from .._registry import make_guard
from .._values import Exchange, Guard, Verdict, prepare
from ._access import Asker, asker
from ._batcher import Batcher, GuardFailed, Places
from ._config import ServerConfig
from ._errors import ApiError
from ._judge import Looked
from ._observe import Metrics
from ._tasks import gathered
from ._views import Part, characters, cut, merged, slices, views
from .intake._images import Checked

AT_ONCE = 2
"""Pieces of one long exchange that wait for a guard at the same time."""


class Panel:
    """All guards that some policy names. Whatever they load is loaded when this is made: no request waits for it."""

    def __init__(self, config: ServerConfig, metrics: Metrics, guards: Mapping[str, Guard]):
        self._config, self._metrics = config, metrics
        names = dict.fromkeys(name for policy in config.policies.values() for name in policy.guards)
        made = {name: reading(guards[name]) if name in guards else make_guard(name) for name in names}
        for guard in made.values():
            prepare(guard)
        self._batchers = {name: self._batcher(name, guard) for name, guard in made.items()}
        self._places = {name: Places(config.limits.long_requests) for name in made}
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

        Raises GuardFailed, ApiError 429 when too many wait, or ApiError 413 for what would take too long.
        """
        shown = views(self[name].sees, exchange)
        found = await gathered(self._verdict(name, view.exchange) for view in shown)
        if hits := sum(known for _, known in found):
            self._metrics.cached.labels(name).inc(hits)
        verdicts = [verdict for verdict, _ in found]
        return list(zip(shown, verdicts, strict=True)), hits == len(shown)

    async def _verdict(self, name: str, exchange: Exchange) -> tuple[Verdict, bool]:
        """The verdict of one pass, and whether it was known."""
        key = content_key(self.identity(name), exchange)
        if (known := self._cache.get(key)) is not None:
            return known, True
        pieces = slices(exchange, self[name].sees, self._config.limits.piece_characters)
        pieces = pieces if len(pieces) > 1 else self._cut(name, exchange)
        if len(pieces) > 1:
            verdict = merged(exchange, await self._pieces(name, pieces))
        else:
            verdict = await self._now(name, exchange)
        self._cache.put(key, verdict)
        return verdict, False

    async def _pieces(self, name: str, pieces: Sequence[Exchange]) -> list[Verdict]:
        """The verdicts on the pieces of a long exchange, a few at a time. Those that are known from before, such as the
        earlier pieces of an answer that grows, cost nothing."""
        who, found = asker(), list[Verdict]()
        before, computed = who.spent, 0
        left = deque(pieces)
        waiting = sum(map(characters, left))
        with self._places[name].one(who.client):
            while left:
                group: list[Exchange] = []
                while left and len(group) < AT_ONCE:  # cut only now: to count the word pieces of all takes long
                    waiting -= characters(left[0])
                    first, *rest = self._cut(name, left.popleft())
                    left.extendleft(reversed(rest))
                    waiting += sum(map(characters, rest))
                    group.append(first)
                keys = [content_key(self.identity(name), each) for each in group]
                known = [self._cache.get(key) for key in keys]
                found += await gathered(
                    _known(old) if old is not None else self._now(name, each, long=True)
                    for each, old in zip(group, known, strict=True)
                )
                for key, verdict in zip(keys, found[-len(group) :], strict=True):
                    self._cache.put(key, verdict)
                computed += sum(characters(each) for each, old in zip(group, known, strict=True) if old is None)
                self._affords(who, waiting * (who.spent - before) / max(1, computed))
        return found

    def _cut(self, name: str, exchange: Exchange) -> list[Exchange]:
        """An exchange that is short enough, in pieces that are so in word pieces too."""
        return cut(exchange, self[name].sees, self._config.limits.piece_characters, self._batchers[name].cost)

    async def _now(self, name: str, exchange: Exchange, *, long: bool = False) -> Verdict:
        """A verdict that the guard gives now, or GuardFailed."""
        who, seconds = asker(), self._config.seconds
        self._affords(who)
        try:
            async with asyncio.timeout(seconds):
                return await self._batchers[name].verdict(exchange, who, long=long)
        except TimeoutError:
            raise GuardFailed(504, "guard_timeout", f"no verdict within {seconds:g} s") from None

    def _affords(self, who: Asker, more: float = 0.0) -> None:
        """Raises ApiError 413 where a request has cost, or will cost, more computing than one may."""
        if who.spent + more > (most := self._config.limits.work_seconds):
            raise ApiError(413, "too_much_work", f"looking at this takes a guard over {most:g} s; send less at once")

    def close(self) -> None:
        """Stop the guards' threads."""
        for batcher in self._batchers.values():
            batcher.close()


async def _known(verdict: Verdict) -> Verdict:
    return verdict


def content_key(guard: str, exchange: Exchange) -> bytes:
    """SHA-256 over the guard, the roles, the texts, the decoded pixels of images, and the answer.

    Every field is preceded by its length: no two exchanges have the same sequence of fields.
    """
    digest = hashlib.sha256()

    def add(kind: bytes, value: bytes) -> None:
        digest.update(kind + len(value).to_bytes(8, "big") + value)

    add(b"g", guard.encode())
    for message in exchange.conversation:
        add(b"r", message.role.encode())
        for part in message.parts:
            if isinstance(part, Image):
                pixels = part.pixels if isinstance(part, Checked) else part.sha256
                add(b"i", pixels.encode())
            else:
                add(b"t", part.encode("utf-8", "surrogatepass"))
    if exchange.answer is not None:
        add(b"a", exchange.answer.encode("utf-8", "surrogatepass"))
    return digest.digest()


class Cache:
    """The latest `size` verdicts. `unknown` is never remembered: the next time may go better."""

    def __init__(self, size: int):
        self._size = size
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()

    def get(self, key: bytes) -> Verdict | None:
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def put(self, key: bytes, verdict: Verdict) -> None:
        if self._size and verdict.label != "unknown":
            self._known[key] = verdict
            self._known.move_to_end(key)
            while len(self._known) > self._size:
                self._known.popitem(last=False)
