"""The model behind the proxy: one call, whole or as events. Everything that can go wrong with it is an ApiError."""

import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from ._config import Upstream
from ._errors import ApiError
from ._sse import sse_data

PASSED = ("authorization", "openai-organization", "openai-project", "x-request-id", "traceparent", "tracestate")


class UpstreamClient:
    """Calls `POST {base_url}/chat/completions`. Answers of more than `limit` bytes are refused."""

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
    async def _call(self, body: Mapping[str, Any], given: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """The response, its body not yet read. Leaving early, by cancellation too, ends the call at the upstream."""
        if self._http is None:
            wait = httpx.Timeout(self.settings.seconds, connect=min(10, self.settings.seconds))
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            self._http = httpx.AsyncClient(timeout=wait, limits=limits, trust_env=False)
        url = self.settings.base_url.rstrip("/") + "/chat/completions"
        content = json.dumps(body).encode()
        try:
            async with self._http.stream("POST", url, content=content, headers=self._headers(given)) as response:
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

    async def answer(self, body: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
        """A whole answer."""
        async with self._call(body, given) as response:
            return _object(await self._whole(response))

    async def events(self, body: Mapping[str, Any], given: Mapping[str, str]
                     ) -> AsyncGenerator[dict[str, Any] | None, None]:  # fmt: skip
        """The chunks of a streamed answer; None for its regular end (`[DONE]`). It may stop without one."""
        async with self._call(body, given) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise ApiError(502, "upstream_invalid", "the upstream did not answer with a stream of events")
            async for data in sse_data(response.aiter_bytes(), self.limit):
                if data.strip() == b"[DONE]":
                    yield None
                    return
                yield _object(data)


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ApiError(502, "upstream_invalid", "the upstream's answer is not a JSON object")
    if value.get("error"):
        raise ApiError(502, "upstream_error", "the upstream reported an error instead of an answer")
    return value


def _refused(response: httpx.Response, content: bytes) -> ApiError:
    """4xx of the upstream is the client's business and keeps its status and message; anything else is a bad gateway."""
    status = response.status_code
    if status == 504:
        return ApiError(504, "upstream_timeout", "the upstream did not answer in time")
    if not 400 <= status < 500:
        return ApiError(502, "upstream_error", f"the upstream answered with status {status}")
    try:
        error = json.loads(content)["error"]
        message = " ".join(str(error.get("message") or "")[:1000].split())
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        message = ""
    wait = response.headers.get("retry-after", "")
    return ApiError(
        status, "upstream_refused", f"upstream: {message or f'status {status}'}",
        retry_after=int(wait) if re.fullmatch(r"\d{1,6}", wait) else None,
    )  # fmt: skip
