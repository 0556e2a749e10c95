"""Messages of a request -> an exchange that guards can look at, with every part counted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

from ..._values import Exchange
from .._access import asker
from .._config import Fetch, Limits
from .._errors import ApiError
from .._views import NOWHERE, Places
from ._images import Seen, aside, read_images
from ._pieces import Piece, pieces, read
from ._turns import as_exchange, turns

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
