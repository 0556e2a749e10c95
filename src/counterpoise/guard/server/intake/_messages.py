"""Messages of a request -> an exchange that guards can look at, with every part counted: turns in the order that guards
expect, with the place of every text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

from counterpoise.chat import Image, Message, Part

from ..._values import Exchange
from .._access import asker
from .._config import Fetch, Limits
from .._decision import Place
from .._errors import ApiError
from .._views import NOTHING, NOWHERE, Places
from ._images import Seen, aside, read_images
from ._pieces import Piece, pieces, read

Direction = Literal["input", "output", "both"]
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "user",
         "function": "user"}  # fmt: skip
"""Results of tools come from outside, like what a user says."""
LARGE = 100_000
"""Bytes of a body from which reading it is work of its own, during which others are answered."""


@dataclass(frozen=True)
class Intake:
    """An exchange, where its parts stood in the request, and the kinds of parts in it that nobody can look at."""

    exchange: Exchange
    uninspected: tuple[str, ...] = ()
    images: Mapping[str, Seen] = field(default_factory=dict)
    """Where -> the image as it was checked, for whoever passes the request on."""
    places: Places = NOWHERE

    @property
    def asked(self) -> "Intake":
        """The same without the answer."""
        return replace(self, exchange=Exchange(self.exchange.conversation))


async def read_messages(messages: Sequence[Mapping[str, Any]], limits: Limits, fetch: Fetch, skip: int = 0) -> Intake:
    """All turns of an OpenAI conversation. The last one is the answer when the assistant said it.

    The first `skip` messages are not the client's own: places count from the message after them. Raises ApiError for
    wrong roles, no content, or more than the limits allow.
    """
    if not messages:
        raise ApiError(422, "invalid_request", "messages: empty", "messages")
    every = (each for number, message in enumerate(messages, -skip) for each in _read(message, number))
    first = islice(every, most(limits))
    found = await aside(list, first) if asker().size > LARGE else list(first)
    _within([piece for _, piece in found], limits)
    wanted = [(piece.value, piece.where) for _, piece in found if piece.kind == "image"]
    images = dict(zip((where for _, where in wanted), await read_images(wanted, limits, fetch), strict=True))
    others = [piece for _, piece in found if piece.kind == "other"]
    exchange, texts, answer = as_exchange(turns(found, images), has_others=bool(others))
    shown = [place for _, piece in found if piece.kind == "image"
             for place in [piece.place] * (1 + (images[piece.where].black is not None))]  # fmt: skip
    return Intake(
        exchange, tuple(dict.fromkeys(piece.value for piece in others)),
        images,
        Places(tuple(texts), tuple(shown), answer, tuple((piece.value, piece.place) for piece in others)),
    )  # fmt: skip


def _read(message: Mapping[str, Any], number: int) -> Iterator[tuple[str, Piece]]:
    """(role, piece) of one message; an empty text where it has nothing, since it is a turn nevertheless."""
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise ApiError(422, "invalid_request", f"messages.{number}.role: expected one of {', '.join(ROLES)}",
                       f"messages.{number}.role")  # fmt: skip
    found = pieces(message, f"messages.{number}")
    yield ROLES[role], next(found, Piece("text", "", f"messages.{number}"))
    yield from ((ROLES[role], piece) for piece in found)


def most(limits: Limits) -> int:
    """Pieces that are at least one too many."""
    return limits.images + limits.texts + 1


def _within(found: Sequence[Piece], limits: Limits) -> None:
    images = sum(piece.kind == "image" for piece in found)
    if images > limits.images:
        raise ApiError(413, "too_many_images", f"a request may have at most {limits.images} images")
    if len(found) - images > limits.texts:
        raise ApiError(413, "too_large", f"a request may have at most {limits.texts} texts")
    if (size := sum(len(piece.value) for piece in found if piece.kind == "text")) > limits.text_characters:
        raise ApiError(413, "too_large", f"{size:,} characters; at most {limits.text_characters:,} are looked at")


def tools_message(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """A message of the system with the texts of tools, and what in them nobody can look at."""
    if not tools:
        return []
    found = read(list(tools), data=True)
    texts = "\n".join(found.texts)
    others = [{"type": other} for other in found.others]
    return [{"role": "system", "content": [{"type": "text", "text": texts}, *others] if others else texts}]


@dataclass
class Turn:
    """What one role says before the next one speaks."""

    role: str
    parts: list[Part]
    places: list[Place]
    """Of its texts."""

    @property
    def empty(self) -> bool:
        return not any(isinstance(part, Image) or part.strip() for part in self.parts)

    @property
    def text(self) -> str | None:
        """All of it, if it holds no image."""
        if any(isinstance(part, Image) for part in self.parts):
            return None
        return "\n\n".join(str(part) for part in self.parts if str(part).strip())


def turns(found: Sequence[tuple[str, Piece]], images: Mapping[str, Seen]) -> list[Turn]:
    """Pieces of one role that follow each other are one turn. An image with a black side is two."""
    made: list[Turn] = []
    for role, piece in found:
        if piece.kind == "other":
            continue
        if not made or made[-1].role != role:
            made.append(Turn(role, [], []))
        if piece.kind == "image":
            seen = images[piece.where]
            made[-1].parts += [each for each in (seen.image, seen.black) if each is not None]
        elif text := clean(piece.value):
            made[-1].parts.append(text)
            made[-1].places += [piece.place] if text.strip() else []
    return made


def as_exchange(said: list[Turn], *, has_others: bool) -> tuple[Exchange, list[Place], Place | None]:
    """Turns in the order that guards expect: system, user, assistant, user, ...; the answer apart. The places of the
    texts and of the answer stand beside it."""
    full = [turn for turn in said if not turn.empty]
    if not full:
        if has_others:
            return Exchange((Message("user", (NOTHING,)),)), [], None
        raise ApiError(422, "invalid_request", "messages: no content", "messages")
    last = full[-1] if full[-1].role == "assistant" and full[-1].text is not None else None
    if last:
        full.pop()
    made: list[Turn] = []
    for turn in full:
        role = "user" if turn.role == "system" and made else turn.role  # a later system message joins the request
        if made and made[-1].role == role:
            made[-1].parts += turn.parts
        else:
            if role == "assistant" and (not made or made[-1].role != "user"):
                made.append(Turn("user", [NOTHING], []))
            made.append(Turn(role, list(turn.parts), []))
    if not made or made[-1].role == "system":
        made.append(Turn("user", [NOTHING], []))
    talk = tuple(Message(t.role, tuple(_spaced(t.parts))) for t in made)  # type: ignore[arg-type]
    exchange = Exchange(talk, last.text if last else None)
    return exchange, [place for turn in full for place in turn.places], last.places[0] if last else None


def _spaced(parts: Sequence[Part]) -> Iterator[Part]:
    """Without empty texts, with a gap between texts that come from different parts."""
    before: Part | None = None
    for part in parts:
        if isinstance(part, str) and not part.strip():
            continue
        if isinstance(part, str) and isinstance(before, str):
            yield "\n\n"
        yield part
        before = part


def clean(text: str) -> str:
    """Without null bytes and halves of characters, which no tokenizer takes."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
