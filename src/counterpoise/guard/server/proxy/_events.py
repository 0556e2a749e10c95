"""A streamed answer on its way through the gate: the upstream's chunks in, chunks that have passed out."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from .._errors import STATE, ApiError
from .._tasks import unless_gone
from ._passing import choice_parts, envelope, plain_logprobs
from ._stream import Gate, Unit

log = logging.getLogger("counterpoise.guard.server")
Chunk = dict[str, Any]
BROKEN = "the upstream broke off its answer; what was not checked is not delivered"


async def guarded(events: AsyncIterator[Chunk | None], gate: Callable[[], Gate[Chunk]], choices: int,
                  longest: int) -> AsyncIterator[Chunk]:  # fmt: skip
    """Chunks with one choice each, as the gate of that choice lets them go; a blocked choice ends with
    `content_filter`. Reading stops when all `choices` are blocked. Raises ApiError when the upstream's stream is cut
    off or wrong, or an answer has more than `longest` characters; what was held then never leaves.
    """
    gates: dict[int, Gate[Chunk]] = {}
    told: set[int] = set()
    ended: set[int] = set()
    late: list[Chunk] = []
    shell: Chunk = {}
    regular = False
    async for event in events:
        if event is None:
            regular = True
            break
        shell = envelope(event)
        found = event.get("choices")
        if not isinstance(found, list):
            raise ApiError(502, "upstream_invalid", "the upstream's answer has no choices")
        if not found:
            late.append({**shell, "choices": []})  # usage, after the choices
        for place, choice in enumerate(found):
            index = _index(choice)
            own = gates.setdefault(index, gate())
            for chunk in await own.add(_unit(shell, choice, with_usage=not place)):
                yield chunk
            if own.length > longest:
                raise ApiError(502, "upstream_too_large", f"an answer has more than {longest:,} characters")
            if choice.get("finish_reason"):
                ended.add(index)
            if own.blocked and index not in told:
                told.add(index)
                yield filtered(shell, index)
        if len(told) >= max(choices, len(gates)):
            return
    if not regular and (not gates or set(gates) - ended):
        raise ApiError(502, "upstream_broken", BROKEN)
    for index, own in gates.items():
        for chunk in await own.end():
            yield chunk
        if own.blocked and index not in told:
            yield filtered(shell, index)
    for chunk in late:
        yield chunk


def _index(choice: Any) -> int:
    if not isinstance(choice, dict) or type(index := choice.get("index", 0)) is not int:
        raise ApiError(502, "upstream_invalid", "a choice of the upstream's answer is not an object with an index")
    return index


def _unit(shell: Chunk, choice: Chunk, *, with_usage: bool) -> Unit[Chunk]:
    kept = shell if with_usage else {name: value for name, value in shell.items() if name != "usage"}
    return Unit({**kept, "choices": [plain_logprobs(choice)]}, *choice_parts(choice))


def filtered(shell: Mapping[str, Any], index: int) -> Chunk:
    """The last chunk of a choice that was blocked."""
    kept = {name: value for name, value in shell.items() if name != "usage"}
    end = {"index": index, "delta": {}, "finish_reason": "content_filter", "logprobs": None}
    return {**kept, "choices": [end]}


class EventStream(Response):
    """Server-sent events. A client that goes away ends the work behind them at once, also while nothing is sent.

    One chunk is made at a time, and the next only when the last has been taken: a slow client slows the upstream down
    and does not fill memory. An error after the first chunk is an event with `error`, without `[DONE]` after it.
    """

    media_type = "text/event-stream"

    def __init__(self, first: Chunk | None, rest: AsyncGenerator[Chunk, None], *, named: bool = False):
        """`named`: events have their type as name, and no mark of the end follows them."""
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first, self._rest, self._named = first, rest, named

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._rest):
            await unless_gone(receive, self._send(send, scope.get(STATE, {})))

    async def _send(self, send: Send, state: dict[str, Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        async def event(value: Mapping[str, Any] | str) -> None:
            text = value if isinstance(value, str) else json.dumps(value)
            name = f"event: {value['type']}\n" if self._named and not isinstance(value, str) else ""
            body: Message = {
                "type": "http.response.body",
                "body": f"{name}data: {text}\n\n".encode(),
                "more_body": True,
            }
            await send(body)

        async def failed(error: ApiError) -> None:
            state["error"] = error.code
            await event({**error.body["error"], **error.body, "type": "error"} if self._named else error.body)

        try:
            if self._first is not None:
                await event(self._first)
            async for chunk in self._rest:
                await event(chunk)
            if not self._named:
                await event("[DONE]")
        except ApiError as error:
            await failed(error)
        except OSError:
            raise  # the client has gone
        except Exception as error:
            log.error("stream failed", extra={"error": type(error).__name__})
            await failed(ApiError(500, "internal_error", "the server failed; what was not checked is withheld"))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
