"""The words that the eye reads in images, told to a language model beside the image.

A language model that was aligned on text judges text well and the same words in an image badly; the vision tower reads
them. So the small guard gets both: the image, and what the tower reads in it.
"""

from collections.abc import Sequence
from dataclasses import replace

from counterpoise.chat import Image, Message, Part

from .._values import Exchange, Inspected
from ._eye import Reading
from ._readings import readings


def told(exchange: Exchange, seen: Sequence[Reading]) -> Exchange:
    """The exchange with a text after every image in which words were read: at most one more text for each image.

    `seen` holds what the eye read, image by image.
    """
    left = iter(seen)

    def parts(message: Message) -> tuple[Part, ...]:
        made: list[Part] = []
        for part in message.parts:
            made.append(part)
            if isinstance(part, Image) and (words := next(left).words):
                made.append(f"\nThe image says: {words}\n")
        return tuple(made)

    return replace(exchange, conversation=tuple(replace(m, parts=parts(m)) for m in exchange.conversation))


def all_told(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """Each exchange as `told`. Raises InputError for an image that cannot be decoded."""
    return [told(exchange, seen) for exchange, seen in zip(exchanges, readings(exchanges), strict=True)]


def untold(found: Inspected, given: Exchange, shown: Exchange) -> Inspected:
    """Counts about what was given, from counts about what was shown to the model."""
    added = shown.texts - given.texts
    return replace(found, texts=max(0, found.texts - added), texts_total=found.texts_total - added)
