"""Requests that arrive one by one, gathered into batches by a worker thread."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from counterpoise.chat import Conversation

from ._encoding import EncodedRow
from ._values import Answer, Decoding

# The worker starts as soon as nobody has asked for QUIET seconds, and after PATIENCE at the latest: requests of one
# client come in bursts, a few milliseconds apart, and a batch of one costs nearly as much as a batch of thirty.
QUIET, PATIENCE = 0.01, 0.15


class Request(NamedTuple):
    conversation: Conversation
    decoding: Decoding
    future: "Future[Answer]"


class Waiting(NamedTuple):
    row: EncodedRow
    decoding: Decoding
    future: "Future[Answer]"


class RequestQueue:
    """A worker thread with dynamic batches of requests that have the same settings and number of images."""

    def __init__(
        self,
        encode: Callable[[Conversation], EncodedRow],
        run: Callable[[Sequence[EncodedRow], Decoding], list[Answer]],
        fits: Callable[[int, int], bool],
    ):
        self._encode, self._run, self._fits = encode, run, fits
        self._inbox: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._waiting: list[Waiting] = []
        self._open = True
        self._thread = threading.Thread(target=self._work, name="counterpoise-engine", daemon=True)
        self._thread.start()

    def submit(self, conversation: Conversation, decoding: Decoding) -> "Future[Answer]":
        future: Future[Answer] = Future()
        self._inbox.put(Request(conversation, decoding, future))
        return future

    def close(self) -> None:
        """Answer what was submitted, then stop."""
        self._inbox.put(None)
        self._thread.join()

    def _work(self) -> None:
        while self._open or self._waiting:
            if not self._waiting:
                self._take(self._inbox.get())
            self._gather()
            if self._waiting:
                self._answer(self._next_batch())

    def _take(self, request: Request | None) -> None:
        """Encode a request on arrival; one that cannot be encoded fails alone."""
        if request is None:
            self._open = False
        elif request.future.set_running_or_notify_cancel():
            try:
                row = self._encode(request.conversation)
            except Exception as error:
                request.future.set_exception(error)
            else:
                self._waiting.append(Waiting(row, request.decoding, request.future))

    def _gather(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._open:
            full = bool(self._waiting) and not self._fits(len(self._waiting) + 1, len(self._waiting[0].row.ids))
            wait = 0.0 if full else min(QUIET, deadline - time.monotonic())
            try:
                self._take(self._inbox.get(timeout=wait) if wait > 0 else self._inbox.get_nowait())
            except queue.Empty:
                return

    def _next_batch(self) -> list[Waiting]:
        """The oldest request and those most like it."""
        head = self._waiting[0]
        alike = [w for w in self._waiting if w.decoding == head.decoding and w.row.n_images == head.row.n_images]
        alike.sort(key=lambda w: (w is not head, abs(len(w.row.ids) - len(head.row.ids))))
        batch: list[Waiting] = []
        longest = 0
        for waiting in alike:
            longest = max(longest, len(waiting.row.ids))
            if batch and not self._fits(len(batch) + 1, longest):
                break
            batch.append(waiting)
        taken = set(map(id, batch))
        self._waiting = [w for w in self._waiting if id(w) not in taken]
        return batch

    def _answer(self, batch: list[Waiting]) -> None:
        """Run a batch; when it fails for another reason than memory, run its members one by one to find the culprit."""
        try:
            answers = self._run([w.row for w in batch], batch[0].decoding)
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for waiting in batch:
                self._answer([waiting])
            return
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.future.set_result(answer)
