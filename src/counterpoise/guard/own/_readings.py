"""What the eye reads in the images of exchanges, all of them together."""

from collections.abc import Sequence

from counterpoise.base import InputError
from counterpoise.chat import Image

from .._values import Exchange
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
