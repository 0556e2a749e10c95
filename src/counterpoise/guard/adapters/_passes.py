"""What a guard is shown of one exchange: the passes that it needs to see all of it, and what it cannot see.

A pass is turns of parts, and each part knows which of the exchange it holds. `plan` makes the passes of an exchange for
a guard of given eyes, `fit` splits one whose texts are too long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Image, Message, Role, assistant, conversation

from .._text import neutral
from .._values import Exchange, Sees
from ._family import IMAGE, Turns
from ._parse import Mode

OMITTED = "(not shown)"
"""Stands in a turn whose parts the guard cannot see, since templates want turns to alternate."""


MARGIN = 16
"""Tokens left free: a piece tokenized by itself can be a little longer than it was in the whole."""


Split = Callable[[str, int], list[str]]
"""Text and tokens -> pieces of at most so many tokens that overlap."""


Count = Callable[[str], int]
"""Tokens of a text."""


@dataclass(frozen=True)
class Part:
    """A text as the guard will read it, or an image, and which parts of the exchange it holds."""

    value: str | Image
    keys: frozenset[int]


Shown = tuple[tuple[Role, tuple[Part, ...]], ...]
"""Turns as the guard will see them."""


@dataclass(frozen=True)
class Pass:
    """What one forward pass shows."""

    turns: Shown
    mode: Mode

    @property
    def keys(self) -> frozenset[int]:
        return frozenset(key for _, parts in self.turns for part in parts for key in part.keys)

    @property
    def texts(self) -> list[str]:
        return [part.value for _, parts in self.turns for part in parts if isinstance(part.value, str)]

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part.value for _, parts in self.turns for part in parts if isinstance(part.value, Image))

    def slots(self, marks: Sequence[str]) -> Turns:
        """The turns with `marks` in place of the texts, in order, and IMAGE in place of images."""
        left = iter(marks)
        return tuple(
            (role, tuple(IMAGE if isinstance(p.value, Image) else next(left) for p in parts))
            for role, parts in self.turns
        )


@dataclass(frozen=True)
class Plan:
    """All passes of an exchange. `unseen` says which of its parts no pass shows, and why."""

    passes: tuple[Pass, ...]
    texts: frozenset[int] = frozenset()
    """Keys of the text parts of the exchange."""
    images: frozenset[int] = frozenset()
    unseen: str | None = None
    """The guard cannot look at a part of it: at best the verdict is unknown."""
    refused: str | None = field(default=None)
    """Nothing can be judged at all."""


def plan(exchange: Exchange, sees: Sees, *, delimiters: Sequence[str] = (), needs_image: bool = False,
         folded: bool = False) -> Plan:  # fmt: skip
    """The passes before long texts are split: one, or one per image for a guard that sees one image at a time.

    A system message stands before the first user text; an answer is the last assistant turn. Adjacent texts of a
    message are one text, as a chat template joins them. Roles out of order and empty exchanges are refused.
    """
    messages = list(exchange.conversation)
    if exchange.answer is not None:
        messages.append(assistant(exchange.answer))
    try:
        checked = conversation(messages, "exchange")
    except InputError as error:
        return Plan((), refused=str(error))
    turns, texts, images, hidden = _read_turns(checked, delimiters)
    mode: Mode = "response" if turns[-1][0] == "assistant" else "prompt"
    reasons = [hidden] if hidden else []
    if mode == "response" and not sees.answers:
        reasons.append("the guard does not read answers")
    if texts and not sees.texts:
        reasons.append("the guard does not read text")
        turns = _without(turns, str)
    if images and sees.images == 0:
        reasons.append(f"{len(images)} image(s), and the guard sees none")
        turns = _without(turns, Image)
    if needs_image and not images:
        return Plan((), texts, images, refused="the guard judges an image, and the exchange has none")
    if not any(part.keys for _, parts in turns for part in parts):
        return Plan((), texts, images, refused="; ".join(reasons) or "nothing to read")
    mode = mode if sees.answers else "prompt"
    one = Pass(_fold(turns) if folded else turns, mode)
    several = sees.images is not None and sees.images > 0 and len(images) > sees.images
    passes = tuple(_only(one, key) for key in sorted(images)) if several else (one,)
    return Plan(passes, texts, images, "; ".join(reasons) or None)


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


class _Turns(NamedTuple):
    turns: Shown
    texts: frozenset[int]
    images: frozenset[int]
    hidden: str | None
    """Why a text or an image cannot be shown."""


def _read_turns(messages: Sequence[Message], delimiters: Sequence[str]) -> _Turns:
    key, hidden = 0, None
    texts: set[int] = set()
    images: set[int] = set()
    turns: list[tuple[Role, tuple[Part, ...]]] = []
    held: list[Part] = []
    for message in messages:
        parts: list[Part] = []
        for value in message.parts:
            if isinstance(value, Image):
                images.add(key)
                broken = _broken(value)
                hidden = broken or hidden
                parts += [] if broken else [Part(value, frozenset((key,)))]
            elif value.strip():
                texts.add(key)
                parts.append(Part(value, frozenset((key,))))
            elif value:
                parts.append(Part(value, frozenset()))
            key += 1
        joined = _join(parts)
        clean = [replace(p, value=neutral(p.value, delimiters)) if isinstance(p.value, str) else p for p in joined]
        if any(not p.value and p.keys for p in clean):
            hidden = "a text of invisible characters only"
        clean = [p for p in clean if p.value]
        if message.role == "system":
            held = clean
            continue
        shown = (*_spaced(held, clean),)
        turns.append((message.role, shown or (Part(OMITTED, frozenset()),)))
        held = []
    return _Turns(tuple(turns), frozenset(texts), frozenset(images), hidden)


def _broken(image: Image) -> str | None:
    """Why an image cannot be shown whole: no image, too large, or one of several frames."""
    try:
        animated = image.header.animated
    except InputError as error:
        return str(error)
    return f"{image.source}: several frames, and a guard sees one" if animated else None


def _spaced(system: list[Part], parts: list[Part]) -> list[Part]:
    """The system text before the user's, as one text where they meet."""
    if not system or not parts or not isinstance(parts[0].value, str):
        return [*system, *parts]
    head = Part(f"{system[-1].value}\n\n{parts[0].value}", system[-1].keys | parts[0].keys)
    return [*system[:-1], head, *parts[1:]]


def _join(parts: list[Part]) -> list[Part]:
    joined: list[Part] = []
    for part in parts:
        if joined and isinstance(part.value, str) and isinstance(joined[-1].value, str):
            joined[-1] = Part(joined[-1].value + part.value, joined[-1].keys | part.keys)
        else:
            joined.append(part)
    return joined


def _without(turns: Shown, kind: type) -> Shown:
    """Without texts or images; a turn that held nothing else says so, since templates want turns to alternate."""
    kept = [(role, tuple(p for p in parts if not isinstance(p.value, kind))) for role, parts in turns]
    return tuple((role, parts or (Part(OMITTED, frozenset()),)) for role, parts in kept)


def _only(one: Pass, key: int) -> Pass:
    """The same pass with a single image."""
    keep = [
        (role, tuple(p for p in parts if not isinstance(p.value, Image) or key in p.keys)) for role, parts in one.turns
    ]
    return replace(one, turns=tuple((role, parts or (Part(OMITTED, frozenset()),)) for role, parts in keep))


def _fold(turns: Shown) -> Shown:
    """One request and at most one answer: earlier turns stand in the request as a transcript."""
    cut = len(turns) - 1 if turns[-1][0] == "assistant" else len(turns)
    asked, answer = turns[:cut], turns[cut:]
    if len(asked) <= 1:
        return (*asked, *answer)
    parts: list[Part] = []
    for role, own in asked:
        label = "User: " if role == "user" else "Assistant: "
        parts += [Part(("\n\n" if parts else "") + label, frozenset()), *own]
    return (("user", tuple(_join(parts))), *answer)


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
