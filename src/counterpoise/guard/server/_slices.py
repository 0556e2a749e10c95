"""Long exchanges in pieces, so that a guard is never busy for long with one of them and can turn to others between."""

from collections.abc import Sequence
from dataclasses import replace

from counterpoise.chat import Conversation, Image, Message, Part

from .._text import windows
from .._values import Exchange, Inspected, Sees, Verdict, worst
from ._views import NOTHING

SHARED = 8
"""Neighbouring pieces share an eighth of their length, so that nothing is cut apart for a guard: a span that short
stands whole in one of them."""


def slices(exchange: Exchange, sees: Sees, size: int) -> list[Exchange]:
    """The exchange itself where it has at most `size` characters, otherwise pieces that hold all of it.

    Each image stands in one piece, with the text around it. In an answer check the text at the end of the conversation
    goes with every piece of the answer, and its earlier pieces with the beginning of the answer.
    """
    talk, answer = exchange.conversation, exchange.answer
    length = sum(len(part) for message in talk for part in message.parts if isinstance(part, str))
    if length + len(answer or "") <= size:
        return [exchange]
    if answer is None:
        found = [_turn(piece, sees) for piece in _pieces(talk, length, size)]
        return [each for each in found if each is not None] or [exchange]
    half = size // 2
    before = [_alternating(piece) for piece in _pieces(talk, length, half)]
    said = [answer[a:b] for a, b in windows(len(answer), half, half // SHARED) if answer[a:b].strip()] or [answer]
    last = before.pop() if before else (Message("user", (NOTHING,)),)
    words = _without_images(last)
    return [Exchange(each, said[0]) for each in (*before, last)] + [Exchange(words, each) for each in said[1:]]


def merged(exchange: Exchange, verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on a whole from those on its pieces: the worst. It was inspected where every piece was."""
    texts, images = exchange.texts, exchange.images
    complete = all(each.inspected.complete and each.label != "unknown" for each in verdicts)
    seen = Inspected(texts, texts, images, images) if complete else Inspected(0, texts, 0, images)
    return worst(verdicts, seen)


def _pieces(talk: Conversation, length: int, size: int) -> list[list[Message]]:
    """Messages in windows over their characters; those that hold nothing are left out."""
    spans = windows(length, size, size // SHARED)
    made = [_between(talk, a, b, first=a if n == 0 else spans[n - 1][1], last=b == length)
            for n, (a, b) in enumerate(spans)]  # fmt: skip
    return [each for each in made if each]


def _between(talk: Conversation, start: int, stop: int, *, first: int, last: bool) -> list[Message]:
    """What stands from `start` to `stop`; images from `first` on, which the window before did not have."""
    at, made = 0, list[Message]()
    for message in talk:
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, Image):
                if first <= at < stop or (last and at == stop):
                    parts.append(part)
                continue
            cut = part if start <= at and at + len(part) <= stop else part[max(start - at, 0) : max(stop - at, 0)]
            at += len(part)
            if cut.strip():
                parts.append(cut)
        if parts:
            made.append(Message(message.role, tuple(parts)))
    return made


def _without_images(talk: Conversation) -> Conversation:
    kept = [replace(each, parts=tuple(part for part in each.parts if isinstance(part, str))) for each in talk]
    return _alternating([each for each in kept if each.parts])


def _turn(piece: list[Message], sees: Sees) -> Exchange | None:
    """A piece of a conversation as an exchange; one that ends with the assistant is about what the assistant says."""
    end = piece[-1]
    if end.role == "assistant" and sees.answers and not end.images:
        said = "".join(part for part in end.parts if isinstance(part, str))
        return Exchange(_alternating(piece[:-1]), said)
    return Exchange(_alternating(piece))


def _alternating(piece: Sequence[Message]) -> Conversation:
    """As guards' templates want turns: the user begins after the system, and has the last word."""
    made = list(piece)
    begins = 1 if made and made[0].role == "system" else 0
    nothing = Message("user", (NOTHING,))
    if begins < len(made) and made[begins].role == "assistant":
        made.insert(begins, nothing)
    if not made or made[-1].role != "user":
        made.append(nothing)
    return tuple(made)
