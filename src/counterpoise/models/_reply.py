"""Telling the thought of a reply from the reply, where all there is of it is text."""

import re
from collections.abc import Sequence
from typing import NamedTuple

Markers = tuple[str, str]
"""What opens a thought, and what closes it."""

MARKERS: tuple[Markers, ...] = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
)
"""Those that published models write: Qwen 3 and DeepSeek R1, some of their successors, Magistral, Command A, Seed,
Kimi."""


class Parts(NamedTuple):
    """A reply taken apart."""

    reasoning: str
    """All thoughts, without markers, joined by empty lines."""
    text: str
    """What is left; empty while the thought is open."""
    open: bool
    """A thought began and never ended."""


def split_reply(text: str, markers: Sequence[Markers] = MARKERS, *, opened: bool = False) -> Parts:
    """The thoughts and the text of a reply.

    A thought stands between a pair of `markers`, in any letter case. A closing marker without its opening one ends a
    thought that began with the reply, because the prompt held the opening one; `opened` says that it did even where no
    closing marker follows. An opening marker that is not closed opens a thought only where nothing but thoughts stands
    before it: further on it is a word of the reply.
    """
    thoughts: list[str] = []
    said, rest, found = "", text, markers[0] if opened else _first_close(text, markers)
    while True:
        if found is not None:
            end = _find(found[1], rest)
            thoughts.append(rest[: end.start()] if end else rest)
            if end is None:
                return Parts(_joined(thoughts), "", True)
            rest = rest[end.end() :]
        start, found = _first_open(rest, markers)
        if found is None or start is None:
            break
        if _find(found[1], rest[start.end() :]) is None and (said + rest[: start.start()]).strip():
            break
        said, rest = said + rest[: start.start()], rest[start.end() :]
    return Parts(_joined(thoughts), (said + rest).strip() if thoughts else text, False)


def _joined(thoughts: Sequence[str]) -> str:
    return "\n\n".join(thought.strip() for thought in thoughts if thought.strip())


def _find(marker: str, text: str) -> re.Match[str] | None:
    """In any letter case; by a pattern, since lower case may have another length."""
    return re.search(re.escape(marker), text, re.IGNORECASE)


def _first_open(text: str, markers: Sequence[Markers]) -> tuple[re.Match[str] | None, Markers | None]:
    found = [(place, pair) for pair in markers if (place := _find(pair[0], text)) is not None]
    return min(found, default=(None, None), key=lambda each: each[0].start())  # type: ignore[union-attr]


def _first_close(text: str, markers: Sequence[Markers]) -> Markers | None:
    """The pair whose closing marker comes before any opening one."""
    found = [(place.start(), pair) for pair in markers if (place := _find(pair[1], text)) is not None]
    end, pair = min(found, default=(-1, None), key=lambda each: each[0])
    start, _ = _first_open(text, markers)
    return pair if pair is not None and (start is None or end < start.start()) else None
