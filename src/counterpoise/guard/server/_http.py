"""What surrounds every request, as plain ASGI: id, key, rate, size, time, log line, metrics."""

import json
import logging
import os
import time
import traceback
import uuid
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._access import ASKER, Asker, Door, Hosts, Keys, Rate
from ._config import ServerConfig
from ._errors import STATE, ApiError
from ._observe import Metrics, verdict_line
from .intake import Bodies

log = logging.getLogger("counterpoise.guard")
OPEN = ("/", "/health", "/ready")
"""Answered without a key; they hold nothing of anybody."""


def request_id(given: str | None) -> str:
    """The client's id if it is short and printable ASCII, else a new one."""
    fit = given is not None and 0 < len(given) <= 128 and given.isascii() and given.isprintable()
    return given if fit and given else f"req_{uuid.uuid4().hex}"


class Surround:
    """The middleware. A body is read whole, within limits of size and time, before anything looks at it."""

    def __init__(self, app: ASGIApp, config: ServerConfig, metrics: Metrics, routes: tuple[str, ...]):
        self._app, self._metrics = app, metrics
        self._routes = frozenset(routes)
        limits = config.limits
        wrong = Rate(limits.wrong_keys_per_minute, "wrong keys")
        self._door = Door(Keys(config.api_keys_env), Rate(limits.requests_per_minute), wrong)
        self._hosts = Hosts(config.names)
        self._bodies = Bodies(config.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        state: dict[str, Any] = {"id": request_id(headers.get("x-request-id")), "status": 0}
        scope[STATE] = state
        scope["state"] = {**scope.get("state", {}), "request_id": state["id"]}
        began = time.perf_counter()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                state["status"] = message["status"]
                message["headers"] = [
                    *message.get("headers", []), (b"x-request-id", state["id"].encode()),
                    (b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"),
                ]  # fmt: skip
            await send(message)

        try:
            await self._inside(scope, headers, receive, answer, state)
        except ApiError as error:
            state["error"] = error.code
            if not state["status"]:
                await _send_error(error, answer)
        except ConnectionError:
            state["status"] = state["status"] or 499  # the client left; nobody is answered
        except Exception as error:  # no traceback: its last line may quote the request
            log.error("failed", extra={"request_id": state["id"], "error": _place(error)})
            if state["status"]:
                raise ConnectionError from None  # half an answer must not look like a whole one
            await _send_error(_defined(error), answer)
        finally:
            self._bodies.release(state)
            self._note(scope, state, time.perf_counter() - began)

    async def _inside(
        self, scope: Scope, headers: dict[str, str], receive: Receive, answer: Send, state: dict[str, Any]
    ) -> None:
        asker = Asker()
        if scope["path"] not in OPEN:
            self._hosts.check(headers)
            asker = Asker(self._door.enter(headers, (scope.get("client") or ("?",))[0]))
            ASKER.set(asker)
        if scope["method"] != "POST":
            await self._app(scope, receive, answer)
            return
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            # also keeps other web pages from posting here: a browser asks first before it sends this type
            raise ApiError(400, "unsupported_media", "send Content-Type: application/json")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise ApiError(400, "unsupported_media", "send the body uncompressed")
        body = await self._bodies.read(headers, receive, state)
        asker.size = len(body)
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, answer)

    def _note(self, scope: Scope, state: dict[str, Any], seconds: float) -> None:
        path = scope["path"] if scope["path"] in self._routes else "other"
        status = state["status"] or 500  # nothing was answered: the outermost layer will say 500
        self._metrics.requests.labels(path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        line = {"request_id": state["id"], "path": path, "status": status, "ms": round(seconds * 1000, 1)}
        log.info("request", extra=line | {"error": state.get("error")} | verdict_line(state.get("decisions", {})))


def _defined(error: Exception) -> ApiError:
    if isinstance(error, RecursionError):
        return ApiError(422, "invalid_request", "body: nested too deeply")
    return ApiError(500, "internal_error", f"unexpected {type(error).__name__}; nothing was let through")


def _place(error: Exception) -> str:
    """What went wrong and in which line, without its message."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {os.path.basename(last.filename)}:{last.lineno}"


async def _send_error(error: ApiError, send: Send) -> None:
    body = json.dumps(error.body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
