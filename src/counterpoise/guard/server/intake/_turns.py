"""Pieces of messages -> turns in the order that guards expect, with the place of every text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from counterpoise.chat import Image, Message, Part

from ..._values import Exchange
from .._decision import Place
from .._errors import ApiError
from .._views import NOTHING
from ._images import Seen
from ._pieces import Piece


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
