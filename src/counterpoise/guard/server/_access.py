"""Who may ask, under which name, and how often."""

import hashlib
import hmac
import os
import re
import time
from collections import OrderedDict
from collections.abc import Collection, Hashable
from contextvars import ContextVar
from dataclasses import dataclass, field

from counterpoise.base import InputError

from ._errors import ApiError


@dataclass(eq=False)
class Asker:
    """Who asks, with which request, and how long guards have computed for it."""

    client: Hashable = None
    """The hash of a key, or an address."""
    request: Hashable = field(default_factory=object)
    size: int = 0
    """Bytes of the request's body."""
    spent: float = 0.0
    """Seconds."""


ASKER: ContextVar[Asker] = ContextVar("asker")
"""Of the request that is being answered; its tasks share it."""


def asker() -> Asker:
    """Whose request is being answered; nobody's in particular outside one."""
    return ASKER.get(None) or Asker()


class Keys:
    """Accepted API keys, as hashes. Every key is compared in constant time, and all of them always."""

    def __init__(self, variable: str | None):
        found = os.environ.get(variable, "").split(",") if variable else []
        self._hashes = [hashlib.sha256(key.strip().encode()).digest() for key in found if key.strip()]
        if variable and not self._hashes:
            raise InputError(f"api_keys_env {variable}: this environment variable holds no keys")

    @property
    def wanted(self) -> bool:
        return bool(self._hashes)

    @staticmethod
    def given(headers: dict[str, str]) -> bytes:
        """The hash of the key in a request, whatever it is."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()

    def check(self, digest: bytes) -> None:
        """Raises ApiError 401 unless the key with this hash is accepted."""
        if not sum(hmac.compare_digest(digest, each) for each in self._hashes):  # a sum: no early end
            raise ApiError(401, "unauthorized", "API key missing or wrong: Authorization: Bearer KEY, or x-api-key")


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

    def __init__(self, per_minute: int | None, what: str = "requests"):
        self._per_minute, self._what = per_minute, what
        self._buckets: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def take(self, client: object) -> None:
        """Raises ApiError 429 with Retry-After when the client's bucket is empty."""
        if self._per_minute is None:
            return
        tokens = self._tokens(client)
        self._buckets[client] = (max(tokens - 1, 0.0) if tokens >= 1 else tokens, time.monotonic())
        self._buckets.move_to_end(client)
        while len(self._buckets) > 10_000:
            self._buckets.popitem(last=False)
        if tokens < 1:
            raise self._empty(tokens)

    def ask(self, client: object) -> None:
        """Raises the same, and takes nothing."""
        if self._per_minute is not None and (tokens := self._tokens(client)) < 1:
            raise self._empty(tokens)

    def _tokens(self, client: object) -> float:
        assert self._per_minute is not None
        now = time.monotonic()
        tokens, since = self._buckets.get(client, (float(self._per_minute), now))
        return min(self._per_minute, tokens + (now - since) * self._per_minute / 60)

    def _empty(self, tokens: float) -> ApiError:
        assert self._per_minute is not None
        wait = max(1, round((1 - tokens) / (self._per_minute / 60) + 0.5))
        return ApiError(429, "rate_limited", f"more than {self._per_minute} {self._what} a minute", retry_after=wait)


class Door:
    """Keys and rates together: who may come in, and under which name.

    Whoever has given too many wrong keys must wait before another key of this address is even looked at; keys that were
    accepted from there before go on, so that one guesser behind a shared address does not shut out its neighbours.
    """

    def __init__(self, keys: Keys, rate: Rate, wrong: Rate):
        self._keys, self._rate, self._wrong = keys, rate, wrong
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def enter(self, headers: dict[str, str], address: str) -> Hashable:
        """The client: its key's hash, or its address where no keys are wanted. Headers that nobody checks, or other
        spellings of one key, are no clients of their own. Raises ApiError 401 or 429."""
        if not self._keys.wanted:
            self._rate.take(address)
            return address
        given = self._keys.given(headers)
        if (address, given) not in self._known:
            self._wrong.ask(address)
            try:
                self._keys.check(given)
            except ApiError:
                self._wrong.take(address)
                raise
            self._known[address, given] = None
            while len(self._known) > 10_000:
                self._known.popitem(last=False)
        self._rate.take(given)
        return given
