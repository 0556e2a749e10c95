"""What every request passes first: size, key, rate, request id, and one line in the log. Plain ASGI."""

import asyncio
import hmac
import json
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ._config import ServerConfig
from ._errors import ApiError
from ._metrics import Metrics

log = logging.getLogger("counterpoise.guard")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
OPEN = ("/", "/health", "/ready", "/openapi.json")
"""Paths that need no key: they tell nothing about requests."""
CLIENTS = 10_000
"""Clients whose rate is remembered."""


class Gate:
    """Middleware around the application."""

    def __init__(self, app: Application, config: ServerConfig, keys: tuple[str, ...], metrics: Metrics,
                 paths: frozenset[str]):  # fmt: skip
        self.app, self.config, self.keys, self.metrics, self.paths = app, config, keys, metrics, paths
        self.window: OrderedDict[str, tuple[int, int]] = OrderedDict()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = _request_id(headers.get("x-request-id"))
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        began, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            self._admit(scope, headers)
            body = await self._body(receive)
            await self.app(scope, _replay(body, receive), answer)
        except ApiError as error:
            await refuse(answer, error)
        except _Gone:
            status = 499
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.requests.labels(path, str(status)).inc()
            fields = {"request_id": request_id, "path": path, "status": status,
                      "ms": round(1000 * (time.perf_counter() - began), 1)}  # fmt: skip
            log.info("request", extra=fields)

    def _admit(self, scope: Message, headers: dict[str, str]) -> None:
        """Raises ApiError for a missing key, too many requests, or a body that announces too many bytes."""
        if scope["path"] in OPEN:
            return
        client = str((scope.get("client") or ("unknown",))[0])
        if self.keys:
            bearer = headers.get("authorization", "")
            given = bearer[7:] if bearer.lower().startswith("bearer ") else headers.get("x-api-key", "")
            match = [hmac.compare_digest(given.encode(), key.encode()) for key in self.keys]
            if not any(match):
                raise ApiError(401, "unauthorized", "API key missing or wrong")
            client = f"key {match.index(True)}"
        limit = self.config.limits.requests_per_minute
        if limit is not None:
            self._count(client, limit)
        if (length := headers.get("content-length", "")).isdigit() and len(length) < 20:
            self._size(int(length))

    def _count(self, client: str, limit: int) -> None:
        minute = int(time.monotonic() // 60)
        start, n = self.window.pop(client, (minute, 0))
        n = n + 1 if start == minute else 1
        self.window[client] = (minute, n)
        while len(self.window) > CLIENTS:
            self.window.popitem(last=False)
        if n > limit:
            raise ApiError(429, "overloaded", f"more than {limit} requests in a minute", retry_after=60)

    def _size(self, n: int) -> None:
        if n > self.config.limits.request_bytes:
            raise ApiError(413, "too_large", f"a request may have at most {self.config.limits.request_bytes:,} bytes")

    async def _body(self, receive: Receive) -> bytes:
        """The whole body, before anything parses it: as long as it may be, whatever it announced, and in time."""
        body = bytearray()
        try:
            async with asyncio.timeout(self.config.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    body += message.get("body", b"")
                    self._size(len(body))
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            seconds = self.config.limits.body_seconds
            raise ApiError(408, "slow_request", f"the request did not arrive within {seconds:g} s") from None


class _Gone(Exception):
    """The client has gone before its request was whole."""


def _replay(body: bytes, receive: Receive) -> Receive:
    """`receive` that gives the body in one piece and then what the server says (that the client has gone)."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def refuse(send: Send, error: ApiError) -> None:
    """An error as a whole answer."""
    body = json.dumps(error.body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _request_id(given: str | None) -> str:
    """The client's, if it is short and printable."""
    if given and len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return f"guard-{uuid.uuid4().hex}"
