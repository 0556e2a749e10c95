"""Nobody's answer may lead a download into a private network: every host is looked at before it is asked, and the
address that answered before its first byte is used."""

import os
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from counterpoise.base import InputError, public_address

Resolve = Callable[[str], list[str]]


def resolve(host: str) -> list[str]:
    """Addresses of a host name; none when it has none."""
    try:
        return [str(item[4][0]) for item in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError:
        return []


class Gate:
    """Hooks for an HTTP client. A private address is asked only when it is the host of an endpoint that the user set;
    with a proxy it is the proxy that resolves names, so only literal addresses can be checked."""

    def __init__(self, endpoint: str | None, resolver: Resolve = resolve):
        self.own = urlsplit(endpoint).hostname if endpoint else None
        self.resolver = resolver

    def request(self, request: Any) -> None:
        """Before a request, also one that a redirect asks for. Raises InputError."""
        host, scheme = str(request.url.host), str(request.url.scheme)
        if host == self.own:
            return
        if scheme != "https":
            raise InputError(f"{scheme}://{host}: led to an address without https; nothing was fetched from there")
        addresses = [host.strip("[]")] if _literal(host) else [] if _proxied(host) else self.resolver(host)
        for address in addresses:
            self._check(host, address)

    def response(self, response: Any) -> None:
        """When the first bytes of an answer are there: who sent them. Raises InputError."""
        host = str(response.request.url.host)
        stream = response.extensions.get("network_stream")
        if host == self.own or _proxied(host) or stream is None:
            return
        peer = stream.get_extra_info("server_addr")
        if peer:
            self._check(host, str(peer[0]))

    def _check(self, host: str, address: str) -> None:
        if not public_address(address):
            raise InputError(
                f"{host}: its address {address} is a private one; nothing was fetched from there (for a mirror of your "
                "own set HF_ENDPOINT or COUNTERPOISE_GITHUB_ENDPOINT)"
            )


def _literal(host: str) -> bool:
    try:
        public_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _proxied(host: str) -> bool:
    return bool(urllib.request.getproxies().get("https")) and not urllib.request.proxy_bypass(host)


@contextmanager
def guarded(client: Any, gate: Gate) -> Iterator[None]:
    """Put the hooks on a client that is not ours, in addition to its own, and take them off again."""
    before = client.event_hooks
    client.event_hooks = {
        "request": [*before.get("request", ()), gate.request],
        "response": [*before.get("response", ()), gate.response],
    }
    try:
        yield
    finally:
        client.event_hooks = before


def endpoint(variable: str) -> str | None:
    """An endpoint that the user set. Raises InputError when it is no address."""
    value = os.environ.get(variable, "").rstrip("/")
    if value and not (urlsplit(value).scheme in ("http", "https") and urlsplit(value).hostname):
        raise InputError(f"{variable}: {value!r} is no address; expected https://host")
    return value or None
