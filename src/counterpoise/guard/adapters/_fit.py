"""Long exchanges: one pass -> several whose texts fit."""

from collections.abc import Callable
from dataclasses import replace

from counterpoise.base import InputError
from counterpoise.chat import Image

from ._shown import OMITTED, Part, Pass, Shown

Split = Callable[[str, int], list[str]]
"""Text and tokens -> pieces of at most so many tokens that overlap."""
Count = Callable[[str], int]
"""Tokens of a text."""
MARGIN = 16
"""Tokens left free: a piece tokenized by itself can be a little longer than it was in the whole."""


def fit(one: Pass, room: int, count: Count, split: Split) -> list[Pass]:
    """`one` as passes whose texts have at most about `room` tokens together; itself when it fits.

    Each earlier turn is judged by itself, in pieces, as something a user says; the last turn in pieces that follow the
    beginning of the request before it. Images go with every piece of the last turn.
    """
    if sum(map(count, one.texts)) <= room:
        return [one]
    size = room - MARGIN
    if size < 64:
        raise InputError(f"the prompt leaves {room} tokens for text; give a larger context")
    made: list[Pass] = []
    for _, parts in one.turns[:-1]:
        for part in parts:
            if isinstance(part.value, str):
                made += [Pass((("user", (replace(part, value=p),)),), "prompt") for p in split(part.value, size)]
    role, last = one.turns[-1]
    before = _request(one, size // 4, split)
    pictures = tuple(p for _, parts in one.turns for p in parts if isinstance(p.value, Image))
    used = sum(count(p.value) for _, parts in before for p in parts if isinstance(p.value, str))
    pieces = [replace(p, value=x) for p in last if isinstance(p.value, str) for x in split(p.value, size - used)]
    for piece in pieces or [Part(OMITTED, frozenset())]:
        made.append(Pass(_with(pictures, (*before, (role, (piece,)))), one.mode))
    return made


def _request(one: Pass, size: int, split: Split) -> Shown:
    """In response mode, the beginning of the request that was answered: context, which has passes of its own."""
    if one.mode == "prompt" or len(one.turns) < 2:
        return ()
    texts = [p for p in one.turns[-2][1] if isinstance(p.value, str)]
    return (("user", tuple(Part(split(str(p.value), size)[0], frozenset()) for p in texts[:1])),) if texts else ()


def _with(pictures: tuple[Part, ...], turns: Shown) -> Shown:
    if not pictures:
        return turns
    if turns[0][0] != "user":
        return (("user", pictures), *turns)
    return (("user", (*pictures, *turns[0][1])), *turns[1:])
