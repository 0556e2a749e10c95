"""What of a streamed answer may leave, and when. Pure: units go in, a check is awaited, units come out.

Three modes. `buffer`: nothing leaves before the verdict on the whole answer. `window`: the last N characters are always
held back, and what leaves lies in a text that passed; so a span of at most N characters leaves whole or not at all.
`end`: everything leaves at once and is checked afterwards; it leaks, and only says so.

Why `window` keeps its promise: a character i leaves only after a text of more than i + N characters has passed. A span
of at most N characters that holds i ends by then, so it was in that text. (Characters are counted in order of arrival
over the channels of one choice; a span that the upstream itself interrupts with text of another channel is two spans.)
"""

import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from .._config import Mode
from ..intake._pieces import unescaped

T = TypeVar("T")
Check = Callable[[str, tuple[str, ...]], Awaitable[bool]]
"""(text so far, kinds of parts nobody can look at) -> whether it may leave."""

ARGUMENTS = (".arguments", ".input")
"""Ends of channels that hold JSON in a string; it is judged with its escapes undone too, as clients read it."""
SENTENCE_END = re.compile(r"[.!?…。！？\n]")


@dataclass(frozen=True)
class Unit(Generic[T]):
    """What leaves whole or not at all."""

    value: T
    texts: tuple[tuple[str, str], ...] = ()
    """(channel, text): a channel is a field that grows, such as the content or the arguments of a tool call."""
    others: tuple[str, ...] = ()
    """Kinds of parts in it that nobody can look at, such as an image."""


class _Held(NamedTuple, Generic[T]):
    unit: Unit[T]
    end: int
    """Characters of the answer up to and with this unit."""


class Gate(Generic[T]):
    """The gate of one answer. After a check that fails, or raises, it is `blocked` and nothing more leaves."""

    def __init__(self, mode: Mode, check: Check, window: int = 400):
        self.mode, self.window, self._check = mode, window, check
        self.blocked = False
        self._channels: dict[str, list[str]] = {}
        self._others: dict[str, None] = {}
        self._held: deque[_Held[T]] = deque()
        self._ends: deque[int] = deque()  # where sentences end, as far as they have not left
        self._length = self._released = 0
        self._passed = 0  # length of the longest text that passed

    @property
    def length(self) -> int:
        """Characters so far."""
        return self._length

    @property
    def text(self) -> str:
        """All channels, in order of their first text; halves of a character that came in two pieces are joined."""
        found = {channel: "".join(pieces) for channel, pieces in self._channels.items()}
        whole = "\n\n".join(unescaped(text) if channel.endswith(ARGUMENTS) else text for channel, text in found.items())
        return whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    async def add(self, unit: Unit[T]) -> list[T]:
        """Take a unit; return those that may leave now, in order. Raises what the check raises."""
        if self.blocked:
            return []
        self._take(unit)
        if self.mode == "end":
            self._held.clear()
            return [unit.value]
        if self.mode == "buffer":
            return []
        if unit.others and not await self._passes():
            return []
        ready = self._ready()
        if ready > self._released and not await self._passes():
            return []
        return self._leave(ready)

    async def end(self) -> list[T]:
        """The answer is complete: its verdict, and what is still held if it passes. Raises what the check raises."""
        if self.blocked or not await self._passes():
            return []
        return self._leave(self._length)

    def _take(self, unit: Unit[T]) -> None:
        for channel, text in unit.texts:
            self._channels.setdefault(channel, []).append(text)
            self._ends.extend(self._length + found.end() for found in SENTENCE_END.finditer(text))
            self._length += len(text)
        if unit.others:
            self._others.update(dict.fromkeys(unit.others))
            self._length += 1  # so that it never counts as already passed
        self._held.append(_Held(unit, self._length))

    def _ready(self) -> int:
        """Up to which character the window lets go: the last sentence end before it, or a long piece without one."""
        limit = self._length - self.window
        while self._ends and self._ends[0] <= self._released:
            self._ends.popleft()
        cut = max((end for end in self._ends if end <= limit), default=0)
        if limit - self._released >= self.window:
            cut = max(cut, limit)
        ready = max((held.end for held in self._held if held.end <= cut), default=0)
        worth = ready - self._released >= max(1, self.window // 4)  # a check per word would be dear
        return ready if worth else self._released

    async def _passes(self) -> bool:
        if self._passed == self._length:
            return True  # nothing new since the last verdict
        text, length, others = self.text, self._length, tuple(self._others)
        self.blocked = True  # also if the check raises or is cancelled
        if (text.strip() or others) and not await self._check(text, others):
            self._held.clear()
            return False
        self.blocked, self._passed = False, length
        return True

    def _leave(self, ready: int) -> list[T]:
        out: list[T] = []
        while self._held and self._held[0].end <= ready:
            held = self._held.popleft()
            self._released = held.end
            out.append(held.unit.value)
        return out
