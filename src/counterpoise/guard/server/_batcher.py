"""One guard behind a queue: whoever waits is looked at together, in a thread of its own, and nobody for long."""

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from .._values import Exchange, Guard, Verdict
from ._access import Asker
from ._errors import ApiError
from ._views import Cost

TURN = 0.25
"""Seconds that one batch should take at most, so that whoever comes next need not wait longer."""
LEAST = 4_000
"""What a batch may cost however slow the guard is; see `Cost`."""


class GuardFailed(ApiError):
    """A guard raised, answered nonsense, is stuck, or was too slow. Never a verdict."""


def unavailable(why: str) -> GuardFailed:
    return GuardFailed(503, "guard_unavailable", f"no verdict: {why}", retry_after=5)


@dataclass(eq=False)
class _Item:
    exchange: Exchange
    asker: Asker
    cost: int
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Verdict]"


class Batcher:
    """Collects exchanges of concurrent requests and hands them to `guard.check` together.

    What arrives while a batch is looked at makes the next one. For more company than that it waits up to `wait`
    seconds, and only if the last batch had any: a request that is alone is looked at at once. There are two lanes, for
    pieces of long requests and for everything else; when both have something they take turns, and in each lane clients
    and requests do. A batch ends where it would take this guard longer than TURN by the speed that it has shown. At
    most `limit` exchanges wait (429 beyond), and when a batch fails every exchange of it gets a second chance alone, so
    that one bad request spoils no other.
    """

    def __init__(
        self, guard: Guard, *, size: int = 32, wait: float = 0.005, limit: int = 256, patience: float = 30,
        on_batch: Callable[[int], None] = lambda n: None,
    ):  # fmt: skip
        self.guard, self._size, self._wait, self._limit, self._patience = guard, size, wait, limit, patience
        self._on_batch, self.cost = on_batch, Cost(guard)
        self._short, self._long = Fair[_Item](), Fair[_Item]()
        self._arrived = threading.Condition()
        self._closed, self._began = False, 0.0
        self._busy = False  # the last batch had more than one
        self._long_is_next = False
        self._speed: float | None = None  # cost a second, of the latest batches
        self._thread = threading.Thread(target=self._work, name=f"guard {guard.id}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._short) + len(self._long)

    @property
    def trouble(self) -> str | None:
        """Why this guard cannot answer at the moment, or None."""
        if not self._thread.is_alive():
            return f"guard {self.guard.id} has stopped"
        if self._began and time.monotonic() - self._began > self._patience:
            return f"guard {self.guard.id} does not come back"
        return None

    async def verdict(self, exchange: Exchange, asker: Asker | None = None, *, long: bool = False) -> Verdict:
        """The verdict on one exchange; its time is added to what the asker has spent. Raises GuardFailed, or ApiError
        429 when too many wait."""
        if self.trouble:
            raise unavailable(self.trouble)
        loop = asyncio.get_running_loop()
        asker = asker or Asker()
        item = _Item(exchange, asker, self.cost(exchange), loop, loop.create_future())
        lane = self._long if long else self._short
        with self._arrived:
            if self.waiting >= self._limit:
                raise ApiError(429, "overloaded", "too many requests wait for a verdict; try again", retry_after=1)
            if self._closed:
                raise unavailable("the server stops")
            lane.put(asker.client, asker.request, item)
            self._arrived.notify()
        try:
            return await item.future
        except asyncio.CancelledError:
            with self._arrived:
                lane.remove(asker.client, asker.request, item)  # nobody waits for it: its place in the queue is free
            raise

    def close(self) -> None:
        """End the thread after what it is doing."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            if batch:
                self._began = time.monotonic()
                outcomes = self._look([item.exchange for item in batch])
                seconds, whole = time.monotonic() - self._began, sum(item.cost for item in batch)
                self._began = 0.0
                for item, outcome in zip(batch, outcomes, strict=True):
                    _post(item, outcome, seconds * item.cost / whole)
                self._on_batch(len(batch))
                speed = whole / max(seconds, 1e-6)
                self._speed = speed if self._speed is None else 0.7 * self._speed + 0.3 * speed
        for lane in (self._short, self._long):
            while lane:  # nothing is added any more
                _post(lane.take(), unavailable("the server stops"), 0.0)

    def _next(self) -> list[_Item] | None:
        with self._arrived:
            self._arrived.wait_for(lambda: self.waiting or self._closed)
            until = time.monotonic() + self._wait * self._busy
            while len(self._short) < self._size and not self._closed and (left := until - time.monotonic()) > 0:
                self._arrived.wait(left)
            if self._closed:
                return None
            taken = self._taken()
            self._busy = len(taken) > 1
        return [item for item in taken if not item.future.cancelled()]

    def _taken(self) -> list[_Item]:
        """The next batch: one lane's, as much as fits into a turn, and at least one."""
        long = bool(self._long) and (self._long_is_next or not self._short)
        self._long_is_next = not long
        lane = self._long if long else self._short
        room = LEAST if self._speed is None else max(LEAST, round(TURN * self._speed))
        taken: list[_Item] = []
        while lane and len(taken) < self._size and (not taken or lane.first().cost <= room):
            taken.append(lane.take())
            room -= taken[-1].cost
        return taken

    def _look(self, exchanges: Sequence[Exchange]) -> Sequence[Verdict | GuardFailed]:
        try:
            found = list(self.guard.check(exchanges))
            if len(found) != len(exchanges) or not all(isinstance(each, Verdict) for each in found):
                raise TypeError("not one verdict for each exchange")
            return [replace(each, features=None) for each in found]
        except BaseException as error:  # whatever a guard does, this thread goes on
            if len(exchanges) > 1:
                return [outcome for each in exchanges for outcome in self._look([each])]
            return [unavailable(f"guard {self.guard.id} failed ({type(error).__name__})")]


def _post(item: _Item, outcome: Verdict | GuardFailed, seconds: float) -> None:
    def deliver() -> None:
        item.asker.spent += seconds
        if item.future.done():
            return
        if isinstance(outcome, Verdict):
            item.future.set_result(outcome)
        else:
            item.future.set_exception(outcome)

    with contextlib.suppress(RuntimeError):  # the server has stopped meanwhile; nobody waits
        item.loop.call_soon_threadsafe(deliver)


T = TypeVar("T")


class Fair(Generic[T]):
    """Clients take turns, so do the requests of one client, and what belongs to one request keeps its order."""

    def __init__(self) -> None:
        self._clients: OrderedDict[Hashable, OrderedDict[Hashable, deque[T]]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, client: Hashable, request: Hashable, item: T) -> None:
        self._clients.setdefault(client, OrderedDict()).setdefault(request, deque()).append(item)
        self._size += 1

    def first(self) -> T:
        """What `take` will give."""
        requests = next(iter(self._clients.values()))
        return next(iter(requests.values()))[0]

    def take(self) -> T:
        """The next item; its client and its request go to the end of their lines."""
        client, requests = self._clients.popitem(last=False)
        request, items = requests.popitem(last=False)
        item = items.popleft()
        if items:
            requests[request] = items
        if requests:
            self._clients[client] = requests
        self._size -= 1
        return item

    def remove(self, client: Hashable, request: Hashable, item: T) -> None:
        """Take an item out of its line, if it still stands there."""
        requests = self._clients.get(client, OrderedDict())
        items = requests.get(request, deque())
        if item not in items:
            return
        items.remove(item)
        self._size -= 1
        if not items:
            del requests[request]
        if not requests:
            del self._clients[client]


class Places:
    """Places for requests that take long: `most` together, and half of them (rounded up) for one client."""

    def __init__(self, most: int):
        self._most = most
        self._taken: dict[Hashable, int] = {}

    @contextmanager
    def one(self, client: Hashable) -> Iterator[None]:
        """A place while the block runs. Raises ApiError 429 when there is none."""
        own = self._taken.get(client, 0)
        if sum(self._taken.values()) >= self._most or own >= (self._most + 1) // 2:
            raise ApiError(429, "overloaded", "too many long texts are being looked at; try again", retry_after=10)
        self._taken[client] = own + 1
        try:
            yield
        finally:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]
