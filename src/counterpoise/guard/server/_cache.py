"""Verdicts that are remembered, by content."""

import hashlib
from collections import OrderedDict

from counterpoise.chat import Image

from .._values import Exchange, Verdict
from .intake._images import Checked


def content_key(guard: str, exchange: Exchange) -> bytes:
    """SHA-256 over the guard, the roles, the texts, the decoded pixels of images, and the answer.

    Every field is preceded by its length: no two exchanges have the same sequence of fields.
    """
    digest = hashlib.sha256()

    def add(kind: bytes, value: bytes) -> None:
        digest.update(kind + len(value).to_bytes(8, "big") + value)

    add(b"g", guard.encode())
    for message in exchange.conversation:
        add(b"r", message.role.encode())
        for part in message.parts:
            if isinstance(part, Image):
                pixels = part.pixels if isinstance(part, Checked) else part.sha256
                add(b"i", pixels.encode())
            else:
                add(b"t", part.encode("utf-8", "surrogatepass"))
    if exchange.answer is not None:
        add(b"a", exchange.answer.encode("utf-8", "surrogatepass"))
    return digest.digest()


class Cache:
    """The latest `size` verdicts. `unknown` is never remembered: the next time may go better."""

    def __init__(self, size: int):
        self._size = size
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()

    def get(self, key: bytes) -> Verdict | None:
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def put(self, key: bytes, verdict: Verdict) -> None:
        if self._size and verdict.label != "unknown":
            self._known[key] = verdict
            self._known.move_to_end(key)
            while len(self._known) > self._size:
                self._known.popitem(last=False)
