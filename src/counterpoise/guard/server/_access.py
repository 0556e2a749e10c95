"""Who may ask, under which name, and how often."""

import hashlib
import hmac
import os
import re
import time
from collections import OrderedDict
from collections.abc import Collection

from counterpoise.base import InputError

from ._errors import ApiError


class Keys:
    """Accepted API keys, as hashes. Every key is compared in constant time, and all of them always."""

    def __init__(self, variable: str | None):
        found = os.environ.get(variable, "").split(",") if variable else []
        self._hashes = [hashlib.sha256(key.strip().encode()).digest() for key in found if key.strip()]
        if variable and not self._hashes:
            raise InputError(f"api_keys_env {variable}: this environment variable holds no keys")

    def check(self, headers: dict[str, str]) -> bytes | None:
        """The hash of the key that was given, None where none is wanted. Raises ApiError 401 unless it is accepted."""
        if not self._hashes:
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        if not sum(hmac.compare_digest(digest, each) for each in self._hashes):  # a sum: no early end
            raise ApiError(401, "unauthorized", "API key missing or wrong: Authorization: Bearer KEY, or x-api-key")
        return digest


class Hosts:
    """The names under which the server may be asked.

    Without keys, on an address of this machine only, another name means that a web page has let its own name point here
    (DNS rebinding): its script would use the server, and the model behind it, as if it were local.
    """

    def __init__(self, names: Collection[str] | None):
        self._names = None if names is None else {name.lower() for name in names}

    def check(self, headers: dict[str, str]) -> None:
        """Raises ApiError 421 for a Host header with another name."""
        name = re.sub(r":\d+$", "", headers.get("host", "")).strip("[]").lower()
        if self._names is not None and name not in self._names:
            raise ApiError(421, "wrong_host", "asked under a name that is not this server's; see hosts in the settings")


class Rate:
    """A bucket of tokens per client that fills steadily; the latest 10,000 clients are remembered."""

    def __init__(self, per_minute: int | None):
        self._per_minute = per_minute
        self._buckets: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def take(self, client: object) -> None:
        """Raises ApiError 429 with Retry-After when the client's bucket is empty."""
        if self._per_minute is None:
            return
        now, speed = time.monotonic(), self._per_minute / 60
        tokens, since = self._buckets.pop(client, (float(self._per_minute), now))
        tokens = min(self._per_minute, tokens + (now - since) * speed)
        self._buckets[client] = (max(tokens - 1, 0.0) if tokens >= 1 else tokens, now)
        while len(self._buckets) > 10_000:
            self._buckets.popitem(last=False)
        if tokens < 1:
            wait = max(1, round((1 - tokens) / speed + 0.5))
            raise ApiError(429, "rate_limited", f"more than {self._per_minute} requests a minute", retry_after=wait)
