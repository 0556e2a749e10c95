"""The turns of a checked conversation as a guard may read them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Image, Message, Role

from .._text import neutral
from ._shown import OMITTED, Part, Pass, Shown


class Read(NamedTuple):
    turns: Shown
    texts: frozenset[int]
    images: frozenset[int]
    hidden: str | None
    """Why a text or an image cannot be shown."""


def read_turns(messages: Sequence[Message], delimiters: Sequence[str]) -> Read:
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
        joined = join(parts)
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
    return Read(tuple(turns), frozenset(texts), frozenset(images), hidden)


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


def join(parts: list[Part]) -> list[Part]:
    joined: list[Part] = []
    for part in parts:
        if joined and isinstance(part.value, str) and isinstance(joined[-1].value, str):
            joined[-1] = Part(joined[-1].value + part.value, joined[-1].keys | part.keys)
        else:
            joined.append(part)
    return joined


def without(turns: Shown, kind: type) -> Shown:
    """Without texts or images; a turn that held nothing else says so, since templates want turns to alternate."""
    kept = [(role, tuple(p for p in parts if not isinstance(p.value, kind))) for role, parts in turns]
    return tuple((role, parts or (Part(OMITTED, frozenset()),)) for role, parts in kept)


def only(one: Pass, key: int) -> Pass:
    """The same pass with a single image."""
    keep = [
        (role, tuple(p for p in parts if not isinstance(p.value, Image) or key in p.keys)) for role, parts in one.turns
    ]
    return replace(one, turns=tuple((role, parts or (Part(OMITTED, frozenset()),)) for role, parts in keep))


def fold(turns: Shown) -> Shown:
    """One request and at most one answer: earlier turns stand in the request as a transcript."""
    cut = len(turns) - 1 if turns[-1][0] == "assistant" else len(turns)
    asked, answer = turns[:cut], turns[cut:]
    if len(asked) <= 1:
        return (*asked, *answer)
    parts: list[Part] = []
    for role, own in asked:
        label = "User: " if role == "user" else "Assistant: "
        parts += [Part(("\n\n" if parts else "") + label, frozenset()), *own]
    return (("user", tuple(join(parts))), *answer)
