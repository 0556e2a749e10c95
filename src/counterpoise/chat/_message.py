"""Messages and conversations. A conversation is a tuple of messages with a checked role order."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from counterpoise.base import InputError

from ._image import Image

Role = Literal["system", "user", "assistant"]
Part = str | Image


@dataclass(frozen=True)
class Message:
    """One turn: text and images in the order in which the model sees them."""

    role: Role
    parts: tuple[Part, ...]
    reasoning: str = ""
    """What an assistant turn thought before it answered, without markers; never part of `text`."""
    trusted: bool = False
    """The model itself or trusted training data wrote this turn: a thought within its text, by the model's own markers,
    is taken as its reasoning (one that is nothing but a thought has an empty reply; one whose thought never ended stays
    text). Added tokens such as those of tool calls stay tokens; special ones, those of turns and placeholders of images
    become plain text here too. What a user or a dataset row wrote is never trusted."""

    @property
    def text(self) -> str:
        return "".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part for part in self.parts if isinstance(part, Image))


Conversation = tuple[Message, ...]


def system(*parts: Part) -> Message:
    return Message("system", parts)


def user(*parts: Part) -> Message:
    return Message("user", parts)


def assistant(*parts: Part, reasoning: str = "", trusted: bool = False) -> Message:
    return Message("assistant", parts, reasoning, trusted)


def conversation(messages: Iterable[Message], source: str = "conversation") -> Conversation:
    """Check the role order: an optional system message, then user and assistant in turn, user first.

    Raises InputError naming the message that breaks the order, an empty conversation, or an empty message.
    """
    result = tuple(messages)
    turns = result[1:] if result and result[0].role == "system" else result
    if not turns:
        raise InputError(f"{source}: no user message")
    for number, message in enumerate(turns):
        expected = "user" if number % 2 == 0 else "assistant"
        where = number + len(result) - len(turns)
        if message.role != expected:
            raise InputError.at(
                source, f"expected {expected}, got {message.role}", row=f"message {where}", field="role"
            )
        if not message.parts or (not message.images and not message.text.strip()):
            raise InputError.at(source, "empty message", row=f"message {where}", field="content")
    return result
