"""Requests that arrive one by one, gathered into batches by a worker thread."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from counterpoise.base import InputError, first_line
from counterpoise.chat import Conversation

from ._encoding import EncodedRow
from ._values import Answer, Decoding, EngineError, PromptError

# The worker starts as soon as nobody has asked for QUIET seconds, and after PATIENCE at the latest: requests of one
# client come in bursts, a few milliseconds apart, and a batch of one costs nearly as much as a batch of thirty.
QUIET, PATIENCE = 0.01, 0.15
SURELY = 4
"""When so many prompts fail with the very same error, it is not theirs."""


class BatchError(EngineError):
    """A batch fails although each of its rows works alone: a fault of the model's code or of ours, not of a row."""


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
        note: Callable[[int, BaseException], None],
    ):
        self._encode, self._run, self._fits, self._note = encode, run, fits, note
        self._fault: EngineError | None = None
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
        """Run a batch and hand out its answers, or what kept each from being made."""
        if self._fault is not None:
            outcomes: list[Answer | Exception] = [self._fault] * len(batch)
        else:
            try:
                outcomes = self._outcomes(batch)
            except EngineError as fault:
                self._fault = fault
                outcomes = [fault] * len(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)

    def _outcomes(self, batch: list[Waiting]) -> list[Answer | Exception]:
        """An answer or an error for each row. When a batch fails, halves of it are run, to find the row that it fails
        on; its neighbours are then answered without it.

        Raises BatchError when there is no such row: then batching itself is at fault, and going on row by row would
        be many times slower without a word. Raises EngineError at once for an InputError: rows were encoded before, so
        what is refused now is the model.
        """
        try:
            return list(self._run([w.row for w in batch], batch[0].decoding))
        except EngineError:
            raise
        except Exception as error:
            if isinstance(error, InputError) and not isinstance(error, PromptError):
                raise EngineError(str(error)) from error
            if len(batch) == 1:
                return [error]
            self._note(len(batch), error)
            half = len(batch) // 2
            found = self._outcomes(batch[:half]) + self._outcomes(batch[half:])
            failed = [str(each) for each in found if isinstance(each, Exception)]
            if len(failed) == len(batch) >= SURELY and len(set(failed)) == 1:
                raise EngineError(f"all of {len(batch)} prompts fail: {first_line(error)}") from error
            if failed:
                return found
            raise BatchError(
                f"{len(batch)} prompts fail as one batch and not in smaller ones ({type(error).__name__}: "
                f"{first_line(error)}); the run stops, since going on one by one would be many times slower. "
                "A batch of 1 (--batch 1) goes around it; please report it with the versions in run.json"
            ) from error
