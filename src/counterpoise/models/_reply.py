"""Telling the thought of a reply from the reply, where all there is of it is text."""

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
    said, rest, pair = "", text, markers[0] if opened else None
    while True:
        low = rest.lower()
        if pair is None and not said.strip() and not thoughts and (early := _first_close(low, markers)) is not None:
            pair = early
        if pair is not None:
            end = low.find(pair[1].lower())
            if end < 0:
                return Parts("\n\n".join([*thoughts, rest.strip()]).strip(), "", True)
            thoughts.append(rest[:end].strip())
            rest, pair = rest[end + len(pair[1]) :], None
            continue
        start, pair = _first_open(low, markers)
        if pair is None:
            break
        closes = low.find(pair[1].lower(), start + len(pair[0])) >= 0
        if not closes and (said + rest[:start]).strip():
            break
        said, rest = said + rest[:start], rest[start + len(pair[0]) :]
    return Parts("\n\n".join(thought for thought in thoughts if thought), (said + rest).strip(), False)


def _first_open(low: str, markers: Sequence[Markers]) -> tuple[int, Markers | None]:
    found = [(place, pair) for pair in markers if (place := low.find(pair[0].lower())) >= 0]
    return min(found, default=(-1, None), key=lambda each: each[0])


def _first_close(low: str, markers: Sequence[Markers]) -> Markers | None:
    """The pair whose closing marker comes before any opening one."""
    found = [(place, pair) for pair in markers if (place := low.find(pair[1].lower())) >= 0]
    place, pair = min(found, default=(-1, None), key=lambda each: each[0])
    start, _ = _first_open(low, markers)
    return pair if pair is not None and (start < 0 or place < start) else None
