"""What each guard of a policy is shown of an exchange, and which parts have been seen in the end."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from counterpoise.chat import Image, Message

from .._values import Exchange, Sees, Verdict, unseen
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
