"""What the eye reads in the images of exchanges, and how a language model is asked about it: as what it is, a request.

A language model that was aligned on text judges text well and the same words in an image badly; the vision tower reads
them. So where all images of an exchange are writing, the small guard is asked about the words themselves, as a question
and together with the text around them; drawings stay, with their words told beside them.
"""

from collections.abc import Sequence
from dataclasses import replace

from counterpoise.base import InputError
from counterpoise.chat import Image, Message, Part, user

from .._values import Exchange, Inspected
from ._eye import Reading, eye


def images_of(exchange: Exchange) -> list[Image]:
    """All images, in the order in which the model sees them."""
    return [image for message in exchange.conversation for image in message.images]


def readings(exchanges: Sequence[Exchange]) -> list[list[Reading]]:
    """What the eye reads in each exchange, image by image; without images the eye is not even loaded.

    Raises InputError for an image that cannot be decoded.
    """
    images = [images_of(exchange) for exchange in exchanges]
    every = [image for own in images for image in own]
    left = iter(eye().read(every) if every else ())
    return [[next(left) for _ in own] for own in images]


def readings_or_errors(exchanges: Sequence[Exchange]) -> list[list[Reading] | InputError]:
    """The same, with the error in the place of an exchange with an image that cannot be decoded."""
    try:
        return list(readings(exchanges))
    except InputError as error:
        if len(exchanges) == 1:
            return [error]
        return [found for each in exchanges for found in readings_or_errors([each])]


REQUEST = "How do I {}?"
"""A printed phrase is seldom a sentence, and the guard was trained on sentences. Of 19 harmful prints of validation
families the bare words were called unsafe 12 times, as a question 19 times; of their benign twins none and one."""


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


def written(seen: Sequence[Reading]) -> bool:
    """Whether every image is writing that was read, so that its words stand for it."""
    return bool(seen) and all(one.writing and one.words and not one.unread for one in seen)


def asked(exchange: Exchange, seen: Sequence[Reading]) -> list[Exchange]:
    """What the guard is asked for one exchange; the worst answer stands.

    Where every image is writing: the words of all images as a request (REQUEST), and the conversation with the words in
    the place of the images. Otherwise the exchange with the words told beside the images.
    """
    if not written(seen):
        return [told(exchange, seen)]
    left = iter(seen)
    turns = tuple(
        replace(m, parts=tuple(f" {next(left).words} " if isinstance(p, Image) else p for p in m.parts))
        for m in exchange.conversation
    )
    alone = Exchange((user(REQUEST.format(" ".join(one.words for one in seen))),), exchange.answer)
    whole = replace(exchange, conversation=turns)
    return [alone, whole] if any(m.text.strip() for m in exchange.conversation) else [alone]


def all_asked(exchanges: Sequence[Exchange]) -> list[list[Exchange]]:
    """`asked` for each exchange. Raises InputError for an image that cannot be decoded."""
    return [asked(exchange, seen) for exchange, seen in zip(exchanges, readings(exchanges), strict=True)]


def inspected_of(found: Sequence[Inspected], given: Exchange, seen: Sequence[Reading]) -> Inspected:
    """Counts about what was given, from counts about what the guard was asked."""
    if written(seen):  # the images are among the texts
        whole = all(one.complete for one in found)
        return Inspected(given.texts if whole else 0, given.texts, given.images if whole else 0, given.images)
    (shown,) = found
    unread = sum(one.unread is not None for one in seen)
    added = shown.texts_total - given.texts
    return replace(
        shown, texts=max(0, shown.texts - added), texts_total=given.texts, images=max(0, shown.images - unread)
    )
