"""One thread per guard: it looks at whatever waits together, so that many requests cost little more than one."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from counterpoise.models._cores import release_cores

from .._values import Exchange, Guard, Verdict
from ._errors import ApiError


class _Asked(NamedTuple):
    exchange: Exchange
    future: "Future[Verdict]"


class Worker:
    """Dynamic batches for one guard. An exchange on which the guard fails does not harm its neighbours."""

    def __init__(self, guard: Guard, *, batch: int = 32, wait: float = 0.005, limit: int = 256,
                 seen: Callable[[int, float], None] = lambda rows, seconds: None):  # fmt: skip
        """`wait` seconds for company, at most `limit` waiting exchanges; `seen` is told rows and seconds of a batch."""
        self.guard, self.batch, self.wait, self._seen = guard, batch, wait, seen
        self._inbox: queue.Queue[_Asked | None] = queue.Queue(limit)
        self._began: float | None = None
        self._thread = threading.Thread(target=self._work, name=f"guard-{guard.id}", daemon=True)
        release_cores()  # what this thread computed while loading must not slow the worker down
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    @property
    def busy(self) -> float:
        """Seconds that the guard has been looking at the present batch; 0 when it waits."""
        return time.monotonic() - began if (began := self._began) is not None else 0.0

    @property
    def waiting(self) -> int:
        return self._inbox.qsize()

    async def check(self, exchange: Exchange) -> Verdict:
        """The guard's verdict. Raises ApiError 429 when too many wait, and whatever the guard raises."""
        if not self.alive:
            raise RuntimeError("the guard's thread has ended")
        future: Future[Verdict] = Future()
        try:
            self._inbox.put_nowait(_Asked(exchange, future))
        except queue.Full:
            raise ApiError(429, "overloaded", "too many requests wait for a guard; try again", retry_after=1) from None
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Answer what waits, then end."""
        self._inbox.put(None)
        self._thread.join(timeout=30)

    def _work(self) -> None:
        while (first := self._inbox.get()) is not None:
            asked, ended = self._gather(first)
            live = [one for one in asked if one.future.set_running_or_notify_cancel()]
            if live:
                self._began = began = time.monotonic()
                self._answer(live)
                self._began = None
                self._seen(len(live), time.monotonic() - began)
            if ended:
                return

    def _gather(self, first: _Asked) -> tuple[list[_Asked], bool]:
        found, deadline = [first], time.monotonic() + self.wait
        while len(found) < self.batch:
            left = deadline - time.monotonic()
            try:
                one = self._inbox.get(timeout=left) if left > 0 else self._inbox.get_nowait()
            except queue.Empty:
                break
            if one is None:
                return found, True
            found.append(one)
        return found, False

    def _answer(self, asked: Sequence[_Asked]) -> None:
        """Verdicts for all; when the guard fails, one by one, to find the exchange on which it does."""
        try:
            verdicts = self.guard.check([one.exchange for one in asked])
            if len(verdicts) != len(asked) or not all(isinstance(v, Verdict) for v in verdicts):
                raise TypeError(f"{len(verdicts)} verdicts for {len(asked)} exchanges")
        except BaseException as error:  # a guard is other people's code and model; the thread must live
            if len(asked) == 1:
                asked[0].future.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
                return
            for one in asked:
                self._answer([one])
            return
        for one, verdict in zip(asked, verdicts, strict=True):
            one.future.set_result(verdict)
