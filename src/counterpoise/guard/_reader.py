"""Before every guard: disguised texts are read, and what is in a language that the guard does not read is unknown.

One place for guards of all kinds, so that none can be talked past in a way that another one would notice.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, Protocol, runtime_checkable

from counterpoise.base import InputError
from counterpoise.chat import Image, Message, Part

from ._languages import mostly_foreign, unread
from ._values import Exchange, Guard, Inspected, Sees, Verdict, prepare, unknown, worst
from .disguise import ENGLISH, Readings, undo

VERSION = "reader4"
"""Changes whenever texts are read otherwise."""


@runtime_checkable
class Unreads(Protocol):
    """A guard that can tell of a text why it cannot read it."""

    def unread(self, text: str) -> str | None: ...


class Reader:
    """A guard that looks at every reading of a text: as it stands, and with its disguises undone.

    The worst verdict stands. A text whose readings are all in a language or a script that the guard does not read is
    `unknown`, as is one that holds a file which the guard cannot look at. `inspected.undone` names what was undone.
    """

    def __init__(self, inner: Guard):
        self.inner = inner

    @property
    def id(self) -> str:
        return self.inner.id

    @property
    def sees(self) -> Sees:
        return self.inner.sees

    @property
    def revision(self) -> str:
        """That of the guard, and of how texts are read before it."""
        return f"{getattr(self.inner, 'revision', '')}+{VERSION}"

    @property
    def path(self) -> str:
        """How texts are read before the guard; verdicts that are kept depend on it."""
        return VERSION

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # of a copy that is not made yet
            raise AttributeError(name)
        return getattr(self.inner, name)

    def prepare(self) -> None:
        """Load what the guard and the reading of texts need."""
        undo("Hello. How are you? Ubj ner lbh gbqnl?")
        if (languages := self.sees.languages) is not None:
            unread("Hello, how are you today?", languages)
            unread("uccidere", languages)  # a foreign word loads all lists
        prepare(self.inner)

    def check(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        """One verdict for each exchange, in order; all readings of all of them are checked together."""
        if not self.sees.texts:
            return self.inner.check(exchanges)
        began = time.perf_counter()
        read = [self._readings(exchange) for exchange in exchanges]
        share = (time.perf_counter() - began) / max(len(exchanges), 1)
        found = self._asked(read)
        spans = pairwise(accumulate((len(one.exchanges) for one in read), initial=0))
        return [
            _verdict(exchange, one, found[a:b], share)
            for exchange, one, (a, b) in zip(exchanges, read, spans, strict=True)
        ]

    def _asked(self, read: Sequence["_Read"]) -> list[Verdict]:
        """The guard's verdict on each reading of all exchanges. One of texts alone that are mostly in scripts which it
        does not read is unknown at once: such texts have a piece for every letter, so that to look at them is the most
        expensive of all, and nothing that the guard says about them means anything."""
        shown = [(each, why) for one in read for each, why in zip(one.exchanges, one.unread, strict=True)]
        known = self.sees.languages
        made = {
            n: unknown(self.id, each, next(iter(why.values())))
            for n, (each, why) in enumerate(shown)
            if why and known is not None and not each.images and mostly_foreign(_texts(each), known)
        }
        asked = [each for n, (each, _) in enumerate(shown) if n not in made]
        found = self.inner.check(asked) if asked else []
        if len(found) != len(asked):
            raise InputError(f"{self.id}: {len(found)} verdicts for {len(asked)} exchanges; the guard is broken")
        left = iter(found)
        return [made[n] if n in made else next(left) for n in range(len(shown))]

    def _readings(self, exchange: Exchange) -> "_Read":
        own = {text: undo(text) for text in _texts(exchange) if text.strip()}
        files = [data for each in own.values() for data in each.files]
        images, hidden = self._images(files, exchange.images)
        most = max((len(each.texts) for each in own.values()), default=1)
        shown = [_shown(exchange, own, number, images) for number in range(most)]
        undone = tuple(dict.fromkeys(name for each in own.values() for name in each.undone))
        unreads = [
            {text: why for text, each in own.items() if (why := self._why(each, n)) is not None} for n in range(most)
        ]
        return _Read(shown, unreads, undone, hidden)

    def _why(self, readings: Readings, number: int) -> str | None:
        """Why the guard cannot read one of the readings of a text."""
        if readings.lost and number and self.sees.languages == ENGLISH:
            return "letters apart that make no English words"
        return self._unread(_at(readings, number))

    def _unread(self, text: str) -> str | None:
        if (languages := self.sees.languages) is not None and (why := unread(text, languages)) is not None:
            return why
        return self.inner.unread(text) if isinstance(self.inner, Unreads) else None

    def _images(self, files: Sequence[bytes], already: int) -> tuple[list[Image], str | None]:
        """The files as images, and why not all of them can be looked at."""
        images = []
        for data in files:
            image = Image.from_bytes(data, "an image written into the text")
            try:
                animated = image.header.animated
            except InputError:
                return [], f"a file of {len(data):,} bytes written into the text"
            if animated:
                return [], "an image of several frames written into the text"
            images.append(image)
        most = self.sees.images
        if images and most is not None and already + len(images) > most:
            return [], f"{len(images)} image(s) written into the text, and the guard sees {most or 'none'}"
        return images, None


@dataclass(frozen=True)
class _Read:
    """The readings of one exchange."""

    exchanges: list[Exchange]
    unread: list[dict[str, str]]
    """For each reading the texts that the guard cannot read, as they stand, and why."""
    undone: tuple[str, ...]
    hidden: str | None
    """Why a file in a text cannot be looked at."""


def _texts(exchange: Exchange) -> list[str]:
    parts = [part for message in exchange.conversation for part in message.parts if isinstance(part, str)]
    return parts + ([exchange.answer] if exchange.answer else [])


def _at(readings: Readings, number: int) -> str:
    return readings.texts[min(number, len(readings.texts) - 1)]


def _shown(exchange: Exchange, own: dict[str, Readings], number: int, images: Sequence[Image]) -> Exchange:
    """One reading of an exchange; the exchange itself where nothing is disguised."""

    def text(part: str) -> str:
        each = own.get(part)
        return part if each is None or (len(each.texts) == 1 and not each.files) else _at(each, number) or " "

    def parts(message: Message) -> tuple[Part, ...]:
        return tuple(text(part) if isinstance(part, str) else part for part in message.parts)

    if not images and all(len(each.texts) == 1 and not each.files for each in own.values()):
        return exchange
    talk = [replace(message, parts=parts(message)) for message in exchange.conversation]
    if images:
        at = max((n for n, message in enumerate(talk) if message.role == "user"), default=len(talk) - 1)
        talk[at] = replace(talk[at], parts=(*images, *talk[at].parts))
    return Exchange(tuple(talk), text(exchange.answer) if exchange.answer else exchange.answer)


def _verdict(given: Exchange, read: _Read, found: Sequence[Verdict], cost: float) -> Verdict:
    """The worst over the readings. One without its disguises that the guard could read speaks for those that it could
    not: what they hold is in it. The text as it stands speaks for none of them: what they hold is hidden in it."""
    told = [_told(each, given, shown, read.undone) for each, shown in zip(found, read.exchanges, strict=True)]
    readable = [v for v, why in zip(told, read.unread, strict=True) if not why and v.label != "unknown"]
    unsafe = [v for v in told if v.label == "unsafe"]
    top = worst([*readable, *unsafe]) if readable or unsafe else worst(told)
    top = replace(top, cost=sum(v.cost for v in found) + cost)
    if top.label == "unsafe" and told[0].label != "unsafe":
        top = replace(top, rationale="; ".join(filter(None, [f"read as {', '.join(read.undone)}", top.rationale])))
    meant = read.unread[1:] or read.unread
    open_to = any(not why and v.label != "unknown" for v, why in zip(told[-len(meant) :], meant, strict=True))
    why = read.hidden or (None if open_to else next((each for one in meant for each in one.values()), None))
    if why is None or top.label in ("unsafe", "unknown"):
        return top
    left = max(1, min(len(one) for one in meant)) if not read.hidden else 1
    seen = replace(top.inspected, texts=max(0, top.inspected.texts - left))
    return replace(top, label="unknown", reason=why, inspected=seen)


def _told(found: Verdict, given: Exchange, shown: Exchange, undone: tuple[str, ...]) -> Verdict:
    """A verdict about a reading as one about what was given: counts of its parts, and what was undone."""
    seen = found.inspected
    if shown is given and not undone:
        return found
    if seen.complete:
        seen = Inspected(given.texts, given.texts, given.images, given.images, undone)
    else:
        texts, images = shown.texts - given.texts, shown.images - given.images
        seen = Inspected(
            min(max(0, seen.texts - texts), given.texts), given.texts, min(max(0, seen.images - images), given.images),
            given.images, undone,
        )  # fmt: skip
    return replace(found, inspected=seen)


def reading(guard: Guard) -> Guard:
    """The guard with a reader before it; one that has a reader already is left as it is."""
    return guard if isinstance(guard, Reader) else Reader(guard)
