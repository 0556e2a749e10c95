"""A stream of events that is checked before it leaves; stands in until the proxy uses `_stream`."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from ._config import Mode

T = TypeVar("T")
Check = Callable[[str], Awaitable[bool]]
LONGEST = 4_000_000
"""Characters of one answer; a longer one is not let through."""


class Blocked(Exception):
    """The check said no; nothing that it had not passed has left (except in mode `end`)."""


async def guarded(pieces: AsyncIterator[tuple[T, str]], check: Check, mode: Mode, window: int) -> AsyncIterator[T]:
    """Items whose text has passed, in order; the last `window` characters are held back in mode `window`."""
    held: deque[tuple[T, int]] = deque()  # item, where its text ends
    text, checked = "", 0
    async for item, own in pieces:
        text += own
        if len(text) > LONGEST:
            raise Blocked
        if mode == "end":
            yield item
            continue
        held.append((item, len(text)))
        if mode != "window" or len(text) - checked < window:
            continue
        if not await check(text):
            raise Blocked
        checked = len(text)
        while held and held[0][1] <= checked - window:
            yield held.popleft()[0]
    if text and (len(text) > checked or not checked) and not await check(text):
        raise Blocked
    while held:
        yield held.popleft()[0]
