"""Images by address, without being led to an address of our own network."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from counterpoise.base import public_address as public

from .._config import Fetch
from .._errors import ApiError

if TYPE_CHECKING:
    import httpx

Resolve = Callable[[str, int], Awaitable[list[str]]]
PORTS = (None, 80, 443)


def forbidden() -> ApiError:
    return ApiError(400, "fetch_forbidden", "images may not be fetched from this address; send a data URL")


def checked(url: str, settings: Fetch) -> SplitResult:
    """The parts of an address that may be asked at all. Raises ApiError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise forbidden() from None
    schemes = ("https", "http") if settings.http else ("https",)
    plain = parts.scheme in schemes and parts.hostname and parts.username is None and parts.password is None
    if not plain or parts.hostname not in settings.hosts or port not in PORTS:
        raise forbidden()
    return parts


async def resolve(host: str, port: int) -> list[str]:
    """Addresses of a host name."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(item[4][0]) for item in found]


async def fetch(url: str, settings: Fetch, limit: int, resolver: Resolve = resolve) -> bytes:
    """The bytes behind an address: resolved once, refused unless every address is public, and then that very address
    is asked (no rebinding), without redirects, proxies or cookies, up to `limit` bytes. Raises ApiError."""
    import httpx

    parts = checked(url, settings)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    body = bytearray()
    try:
        async with asyncio.timeout(4 * settings.seconds):
            addresses = await resolver(host, port)
            if not addresses or not all(public(address) for address in addresses):
                raise forbidden()
            target = httpx.URL(url).copy_with(host=addresses[0])
            async with aclosing(_body(target, host, parts.netloc, settings.seconds)) as pieces:
                async for piece in pieces:
                    body += piece
                    if len(body) > limit:
                        raise ApiError(413, "too_large", f"the image behind the address has more than {limit:,} bytes")
    except httpx.InvalidURL:
        raise forbidden() from None
    except (httpx.HTTPError, TimeoutError):
        raise ApiError(400, "invalid_image", "the image could not be fetched") from None
    return bytes(body)


async def _body(target: "httpx.URL", host: str, netloc: str, seconds: float) -> AsyncGenerator[bytes, None]:
    """What a host answers, as it was sent: nothing unpacks itself beyond a limit."""
    import httpx

    headers = {"Host": netloc, "Accept": "image/*", "Accept-Encoding": "identity"}
    async with (
        httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=seconds) as client,
        client.stream("GET", target, extensions={"sni_hostname": host}, headers=headers) as answer,
    ):
        if answer.status_code != 200:
            raise ApiError(400, "invalid_image", f"the image's server answered {answer.status_code}")
        async for piece in answer.aiter_raw():
            yield piece
