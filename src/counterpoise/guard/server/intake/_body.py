"""Bodies of requests, read whole and within limits of size and time before anything looks at them."""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive

from .._config import Limits
from .._errors import ApiError

NESTED = 300_000
"""Most names, objects and lists in a body, roughly counted."""


class Bodies:
    """The bodies of all requests that are being answered, counted together."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._in_flight = 0

    async def read(self, headers: Mapping[str, str], receive: Receive, state: dict[str, Any]) -> bytes:
        """One body; what it takes is noted in `state` until `release`.

        Raises ApiError 408 (too slow), 413 (too large), 429 (too much at once); ConnectionError when the client leaves.
        """
        self._announced(headers.get("content-length", "0"))
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError
                    piece = message.get("body", b"")
                    body += piece
                    if len(body) > self._limits.request_bytes:
                        raise self._too_large()
                    self._hold(len(piece), state)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise ApiError(408, "too_slow", f"the request took over {self._limits.body_seconds:g} s to send") from None
        self._plain(body)
        return bytes(body)

    def release(self, state: Mapping[str, Any]) -> None:
        """The request is answered."""
        self._in_flight -= state.get("held", 0)

    def _hold(self, size: int, state: dict[str, Any]) -> None:
        self._in_flight += size
        state["held"] = state.get("held", 0) + size
        if self._in_flight > self._limits.body_bytes_in_flight:
            raise ApiError(429, "overloaded", "too much is being answered; try again", retry_after=1)

    def _announced(self, length: str) -> None:
        most = self._limits.request_bytes
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
            raise self._too_large()

    def _too_large(self) -> ApiError:
        return ApiError(413, "too_large", f"a request may have at most {self._limits.request_bytes:,} bytes")

    def _plain(self, body: bytearray) -> None:
        """Refuse a bomb for JSON's reader, which holds everybody up: a million names take it five seconds."""
        nested = body.count(b'":') + body.count(b"[") + body.count(b"{")
        if nested > NESTED or body.count(b",") > self._limits.text_characters + NESTED:
            raise ApiError(413, "too_large", "too many values in one request")
