"""The model behind the proxy: one call, whole or as events. Everything that can go wrong with it is an ApiError."""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from .._config import Upstream
from .._errors import ApiError
from ..intake import is_name

PASSED = ("authorization", "openai-organization", "openai-project", "x-request-id", "traceparent", "tracestate")
LINE = 4_000_000
"""Bytes of one line of an event stream."""
REST = 0.5
"""Seconds in which an upstream may end its stream after the last event, so that the connection can be used again."""
UPSTREAM_STATUS = "x-upstream-status"
"""Header of an answer that is an error of the upstream's: the request had passed the guards, whatever its code says."""
RETRY = {
    "retry-after": re.compile(r"\d{1,6}|[A-Z][a-z]{2}, [\w :]{20,24}"), "retry-after-ms": re.compile(r"\d{1,9}"),
    "x-should-retry": re.compile(r"true|false"),
}  # fmt: skip
"""Headers of an error that say when to try again."""


class UpstreamClient:
    """Calls an OpenAI-compatible server below `base_url`. Answers of more than `limit` bytes are refused."""

    def __init__(self, settings: Upstream, limit: int, *, pass_key: bool = True):
        """`pass_key`: hand the client's own Authorization on where no key is configured."""
        self.settings, self.limit = settings, limit
        self._pass_key = pass_key
        self._http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        passed = {name: value for name in PASSED if (value := given.get(name)) and value.isascii()}
        if self.settings.api_key_env:
            key = os.environ.get(self.settings.api_key_env)
            if not key:
                raise ApiError(502, "upstream_error", "no key for the upstream is configured")
            passed["authorization"] = f"Bearer {key}"
        elif not self._pass_key:
            passed.pop("authorization", None)
        # Not compressed: the limit is on what arrives, and a few bytes can unpack to gigabytes.
        return {**passed, "accept-encoding": "identity", "content-type": "application/json"}

    @asynccontextmanager
    async def _call(self, path: str, body: Mapping[str, Any] | None, given: Mapping[str, str]
                    ) -> AsyncIterator[httpx.Response]:  # fmt: skip
        """The response, its body not yet read. Leaving early, by cancellation too, ends the call at the upstream."""
        if self._http is None:
            wait = httpx.Timeout(self.settings.seconds, connect=min(10, self.settings.seconds))
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            self._http = httpx.AsyncClient(timeout=wait, limits=limits, trust_env=False)
        url = self.settings.base_url.rstrip("/") + path
        method, content = ("GET", None) if body is None else ("POST", json.dumps(body).encode())
        try:
            async with self._http.stream(method, url, content=content, headers=self._headers(given)) as response:
                if response.status_code != 200:
                    raise _refused(response, await self._whole(response))
                yield response
        except httpx.TimeoutException as error:
            raise ApiError(504, "upstream_timeout", "the upstream did not answer in time") from error
        except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ApiError(502, "upstream_unreachable", "the upstream cannot be reached") from error
        except httpx.HTTPError as error:
            raise ApiError(502, "upstream_broken", "the upstream broke off its answer") from error

    async def _whole(self, response: httpx.Response) -> bytes:
        parts, size = [], 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > self.limit:
                raise ApiError(502, "upstream_too_large", f"the upstream's answer has more than {self.limit:,} bytes")
            parts.append(part)
        return b"".join(parts)

    async def get(self, path: str, given: Mapping[str, str]) -> dict[str, Any]:
        """What the upstream says of itself, such as its models."""
        async with self._call(path, None, given) as response:
            return _object(await self._whole(response))

    async def answer(self, path: str, body: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
        """A whole answer."""
        async with self._call(path, body, given) as response:
            return _object(await self._whole(response))

    async def events(
        self, path: str, body: Mapping[str, Any], given: Mapping[str, str],
        last: Callable[[dict[str, Any]], bool] = lambda event: False,
    ) -> AsyncGenerator[dict[str, Any] | None, None]:  # fmt: skip
        """The events of a streamed answer; None for its regular end: `[DONE]`, or after the `last` one. It may stop
        without one."""
        async with self._call(path, body, given) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise ApiError(502, "upstream_invalid", "the upstream did not answer with a stream of events")
            found = sse_data(response.aiter_bytes(), self.limit)
            async for data in found:
                event = None if data.strip() == b"[DONE]" else _object(data)
                if event is not None:
                    yield event
                if event is None or last(event):
                    await _finish(found)
                    yield None
                    return


async def _finish(events: AsyncIterator[bytes]) -> None:
    """Read what still comes, for a moment: a connection whose answer was not read to its end is closed."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError, ApiError):
        async with asyncio.timeout(REST):
            async for _ in events:
                pass


async def sse_data(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """The data of the events of a stream, at most `limit` bytes together. Comments and names of events are skipped.

    Only \\n, \\r\\n and \\r end a line (str.splitlines would also cut at U+2028, which JSON may contain).
    """
    rest, data, size = b"", list[bytes](), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit or len(rest) > LINE:
            raise ApiError(502, "upstream_too_large", f"the upstream's answer has more than {limit:,} bytes")
        *lines, rest = re.split(rb"\r\n|\n|\r(?=.)", rest + chunk, flags=re.DOTALL)
        for line in lines:
            if not line and data:
                yield b"\n".join(data)
                data = []
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
    if rest.startswith(b"data:"):
        data.append(rest[5:].strip())
    if data:
        yield b"\n".join(data)


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ApiError(502, "upstream_invalid", "the upstream's answer is not a JSON object")
    if (error := value.get("error")) and "output" not in value:  # a response that failed says so in its status
        raise _error(502, "upstream_error", error, "the upstream reported an error instead of an answer")
    return value


def _refused(response: httpx.Response, content: bytes) -> ApiError:
    """What the upstream answers instead of a completion: its status, code, param and message, and when to try again."""
    status = response.status_code
    if not 400 <= status < 600:
        return ApiError(502, "upstream_error", f"the upstream answered with status {status}")
    try:
        value = json.loads(content)
        error = value.get("error") or value
    except (ValueError, RecursionError, AttributeError):
        error = None
    headers = {name: value for name, shape in RETRY.items() if shape.fullmatch(value := response.headers.get(name, ""))}
    headers[UPSTREAM_STATUS] = str(status)
    code = "upstream_timeout" if status == 504 else "upstream_error" if status >= 500 else "upstream_refused"
    return _error(status, code, error, f"status {status}", headers)


def _error(status: int, code: str, error: Any, otherwise: str, headers: Mapping[str, str] | None = None) -> ApiError:
    """An error of the upstream as ours: its own code, type and param where it has them, and one line."""
    own = error if isinstance(error, Mapping) else {"message": error if isinstance(error, str) else None}
    message = " ".join(str(own.get("message") or "")[:1000].split())
    kind, given, param = (own.get(name) for name in ("type", "code", "param"))
    return ApiError(
        status, given if is_name(given) and given else code, f"upstream: {message or otherwise}",
        param if isinstance(param, str) and re.fullmatch(r"[\w.\[\]-]{1,100}", param) else None,
        kind=kind if is_name(kind) and kind else None, headers=headers,
    )  # fmt: skip
