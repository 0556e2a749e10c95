"""What each guard of a policy is shown of an exchange, and which parts have been seen in the end: as much at once as it
can see, and long exchanges in pieces, so that a guard is never busy for long with one of them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from counterpoise.chat import Conversation, Image, Message

from .._text import windows
from .._values import Counts, Exchange, Guard, Inspected, Sees, Verdict, unseen, worst
from ._decision import Place

NOTHING = "(nothing)"
"""Stands where a turn has no part that the guard can read: templates want turns to alternate."""
Part = Literal["texts", "answer"] | int


@dataclass(frozen=True)
class View:
    """An exchange as one pass of one guard sees it. `parts`: the texts, the answer, images by number."""

    exchange: Exchange
    parts: frozenset[Part]


@dataclass(frozen=True)
class Places:
    """Where the parts of an exchange stood in the request."""

    texts: tuple[Place, ...] = ()
    images: tuple[Place, ...] = ()
    """By number."""
    answer: Place | None = None
    others: tuple[tuple[str, Place], ...] = ()
    """Kind and place of what nobody can look at."""

    def of(self, parts: Iterable[Part]) -> Place | None:
        """The place of these parts, if they are one. With an answer it is the answer that is judged, but an image
        beside it may be what decided."""
        images = [part for part in parts if isinstance(part, int)]
        if "answer" in parts:
            return None if images else self.answer
        if "texts" in parts:
            return self.texts[0] if len(self.texts) == 1 and not images else None
        return self.images[images[0]] if len(images) == 1 and images[0] < len(self.images) else None


NOWHERE = Places()


def texts_of(exchange: Exchange) -> int:
    """Texts of an exchange that came from the request."""
    stands = sum(part is NOTHING for message in exchange.conversation for part in message.parts)
    return exchange.texts - stands


def parts_of(exchange: Exchange) -> frozenset[Part]:
    """Everything in an exchange that somebody must look at."""
    found: set[Part] = set(range(exchange.images))
    if texts_of(exchange) > (has_answer := bool(exchange.answer and exchange.answer.strip())):
        found.add("texts")
    return frozenset(found | ({"answer"} if has_answer else set()))


def views(sees: Sees, exchange: Exchange) -> list[View]:
    """The passes in which a guard sees as much of an exchange as it can; none where it can see nothing of it."""
    every = parts_of(exchange)
    if unseen(sees, exchange) is None:
        return [View(exchange, every)] if every else []
    answer = exchange.answer if sees.texts and sees.answers else None
    size = exchange.images if sees.images is None else sees.images
    numbers = range(exchange.images) if size else ()
    groups = [tuple(numbers[n : n + size]) for n in range(0, len(numbers), size)] if size else [()]
    made = [_view(exchange, set(group), answer, texts=sees.texts) for group in groups or [()]]
    return [view for view in made if view.parts]


def _view(exchange: Exchange, keep: set[int], answer: str | None, *, texts: bool) -> View:
    number, turns = 0, []
    for message in exchange.conversation:
        shown: list[str | Image] = []
        for part in message.parts:
            if isinstance(part, Image):
                if number in keep:
                    shown.append(part)
                number += 1
            elif texts:
                shown.append(part)
        turns.append((message.role, tuple(shown)))
    parts = parts_of(exchange) & (keep | ({"texts"} if texts else set()) | ({"answer"} if answer else set()))
    if not texts:
        images = tuple(part for _, shown in turns for part in shown)
        return View(Exchange((Message("user", images),)), parts)
    return View(Exchange(tuple(Message(role, shown or (NOTHING,)) for role, shown in turns), answer), parts)


def seen(verdicts: Iterable[tuple[View, Verdict]]) -> frozenset[Part]:
    """Parts that went through a guard that understood them and says so itself."""
    found: set[Part] = set()
    for view, verdict in verdicts:
        counts = verdict.inspected
        enough = counts.texts_total >= view.exchange.texts and counts.images_total >= view.exchange.images
        if verdict.label != "unknown" and counts.complete and enough:
            found |= view.parts
    return frozenset(found)


SHARED = 8
"""Neighbouring pieces share an eighth of their length, so that nothing is cut apart for a guard: a span that short
stands whole in one of them."""


PER_PIECE = 3
"""Characters that a word piece counts for at least. English has four to five, so that its length is what counts."""
IMAGE = 2_000
"""Characters that an image counts for."""
SHORTEST = 500
"""Characters below which a piece is not cut further, whatever it costs."""
_OTHER = re.compile(r"[^A-Za-z0-9\s]")


class Cost:
    """What a guard has to do for an exchange, in characters of English: a text of names, code, symbols or noise has
    more word pieces than its length says. A guard that does not count them is taken to make one of every sign that is
    no English letter and no digit."""

    def __init__(self, guard: Guard):
        self._guard = guard

    def text(self, text: str) -> int:
        """Of one text. It is read whole: cut a long one first."""
        if isinstance(self._guard, Counts):
            return max(len(text), PER_PIECE * self._guard.pieces(text))
        return len(text) + (PER_PIECE - 1) * len(_OTHER.findall(text))

    def texts(self, exchange: Exchange) -> int:
        """Of the texts and the answer."""
        parts = [part for message in exchange.conversation for part in message.parts if isinstance(part, str)]
        return sum(map(self.text, (*parts, exchange.answer or "")))

    def __call__(self, exchange: Exchange) -> int:
        """Of everything; at least 1."""
        return max(1, self.texts(exchange) + IMAGE * exchange.images)


def characters(exchange: Exchange) -> int:
    """Of all texts and the answer."""
    parts = [part for message in exchange.conversation for part in message.parts if isinstance(part, str)]
    return sum(map(len, parts)) + len(exchange.answer or "")


def cut(exchange: Exchange, sees: Sees, size: int, cost: Cost) -> list[Exchange]:
    """The exchange itself where its texts cost at most `size`, otherwise shorter pieces of it that do (or that have
    less than 2 SHORTEST characters)."""
    length = characters(exchange)
    if length < 2 * SHORTEST or (costs := cost.texts(exchange)) <= size:
        return [exchange]
    found = slices(exchange, sees, min(length // 2, max(SHORTEST, length * size // costs)))
    return [piece for each in found for piece in cut(each, sees, size, cost)] if len(found) > 1 else found


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
        parts: list[str | Image] = []
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
