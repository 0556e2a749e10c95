"""Regions of an image: which one a precondition is about, without it, and only it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, Protocol

import PIL.Image
import PIL.ImageFilter
import PIL.ImageStat

from counterpoise.base import InputError
from counterpoise.chat import Image

from ._constitution import Central
from ._values import Box, Found

Fill = Literal["mean", "blur", "black"]
FILLS: tuple[Fill, ...] = ("mean", "blur", "black")


class Detector(Protocol):
    """Finds objects by their names."""

    @property
    def id(self) -> str: ...

    def find(self, image: Image, words: Sequence[str]) -> list[Found | None]:
        """The surest detection of each word, in pixels of the upright image; None where there is none."""
        ...


def combine(central: Central, found: Sequence[Found | None], least: float, size: tuple[int, int]) -> Found | None:
    """One region for central words: for `or` the surest, for `and` the smallest box around all of them (with the lowest
    confidence), and nothing when a word of an `and` is missing. Boxes are cut to the image; detections at or below
    `least` and empty boxes do not count."""
    kept = [
        Found(one.box.clamp(*size), one.confidence) if one is not None and one.confidence > least else None
        for one in found
    ]
    usable = [one for one in kept if one is not None and one.box.area > 0]
    if not usable or (central.joint == "and" and len(usable) < len(kept)):
        return None
    if central.joint == "or":
        return max(usable, key=lambda one: one.confidence)
    box = usable[0].box
    for one in usable[1:]:
        box = box.union(one.box)
    return Found(box, min(one.confidence for one in usable))


def is_small(box: Box, size: tuple[int, int], share: float) -> bool:
    """Whether the region is less than this share of the image's area."""
    return box.area < share * size[0] * size[1]


@lru_cache(maxsize=64)
def without(image: Image, box: Box, fill: Fill) -> Image:
    """The image with a region removed: filled with the image's mean colour, blurred beyond recognition, or black."""
    if fill not in FILLS:
        raise InputError.unknown("fill", fill, FILLS)
    picture = image.pil()
    if fill == "blur":
        radius = max(box.right - box.left, box.bottom - box.top) / 4
        patch = picture.crop(box).filter(PIL.ImageFilter.GaussianBlur(radius))
    else:
        colour = (0, 0, 0) if fill == "black" else tuple(round(c) for c in PIL.ImageStat.Stat(picture).mean)
        patch = PIL.Image.new("RGB", (box.right - box.left, box.bottom - box.top), colour)
    picture.paste(patch, (box.left, box.top))
    return Image.from_pil(picture, f"{image.source} without {tuple(box)}")


@lru_cache(maxsize=64)
def only(image: Image, box: Box) -> Image:
    """The region alone."""
    return Image.from_pil(image.pil().crop(box), f"{image.source} at {tuple(box)}")
