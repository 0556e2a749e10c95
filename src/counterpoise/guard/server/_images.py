"""Images of a request: data URL, base64 or address -> values that guard and model see alike."""

import asyncio
import base64
import binascii
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import PIL.Image

from counterpoise.chat import Image, TooManyPixels

from ._config import Fetch, Limits
from ._errors import ApiError
from ._fetch import fetch, forbidden
from ._tasks import gathered

T = TypeVar("T")

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
PIL.Image.init()  # its readers are loaded now and not with the first image
_DECODERS = ThreadPoolExecutor(2, thread_name_prefix="decode")
"""So many images are decoded at once, whatever arrives."""


class Seen(NamedTuple):
    """One image as models' servers see it, and as they might."""

    image: Image
    """On white."""
    black: Image | None = None
    """On black, where that differs and is to be looked at too."""


async def read_images(values: Sequence[tuple[str, str]], limits: Limits, settings: Fetch) -> list[Seen]:
    """(value, where) of every image -> images that were decoded once, so that nothing later can fail on them.

    Sizes are read from all headers before the first pixel is decoded. Raises ApiError.
    """
    data = await gathered(_bytes(value, where, limits, settings) for value, where in values)
    if sum(map(len, data)) > limits.request_bytes:
        raise ApiError(413, "too_large", f"images of a request may have at most {limits.request_bytes:,} bytes")
    named = [(each, where) for each, (_, where) in zip(data, values, strict=True)]
    pixels = await gathered(_aside(header, each, where, limits) for each, where in named)
    if sum(pixels) > limits.request_pixels:
        raise ApiError(413, "too_many_pixels", f"images of a request may have at most {limits.request_pixels:,} pixels")
    return await gathered(_aside(flat, each, where, limits.alpha_on_black) for each, where in named)


async def _aside(work: Callable[..., T], *given: Any) -> T:
    """The result of work that must not hold up other requests: even a header can take long to read."""
    return await asyncio.get_running_loop().run_in_executor(_DECODERS, work, *given)


async def _bytes(value: str, where: str, limits: Limits, settings: Fetch) -> bytes:
    if not value.startswith(("http://", "https://")):
        return decoded(value, where, limits.image_bytes)
    if not settings.hosts:
        raise ApiError(400, "fetch_forbidden", f"{where}: addresses are not fetched here; send a data URL", where)
    return await fetch(value, settings, limits.image_bytes)


def decoded(value: str, where: str, limit: int) -> bytes:
    """The bytes of a data URL or of plain base64."""
    body = value
    if value.startswith("data:"):
        head, comma, body = value.partition(",")
        if not comma or not head.endswith(";base64"):
            raise ApiError(400, "unsupported_media", f"{where}: expected data:image/...;base64,...", where)
    elif "://" in value[:16]:
        raise forbidden()
    if len(body) * 3 // 4 > limit + 3:
        raise ApiError(413, "too_large", f"{where}: an image may have at most {limit:,} bytes", where)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "invalid_image", f"{where}: broken base64", where) from None


def header(data: bytes, where: str, limits: Limits) -> int:
    """Pixels of an image that may be decoded: known format by content, one frame, within the limits."""
    if len(data) > limits.image_bytes:
        raise ApiError(413, "too_large", f"{where}: an image may have at most {limits.image_bytes:,} bytes", where)
    try:
        found = Image.from_bytes(data, where).header
    except TooManyPixels:
        raise _too_many(where, limits) from None
    except Exception:  # whatever a broken file makes its reader do
        found = None
    if found is None or found.format not in FORMATS:
        raise ApiError(400, "invalid_image", f"{where}: no readable {', '.join(FORMATS)}", where)
    pixels = found.size[0] * found.size[1]
    if pixels > limits.pixels:
        raise _too_many(where, limits)
    if found.animated:
        raise ApiError(400, "unsupported_media", f"{where}: several frames; send a still image", where)
    return pixels


def flat(data: bytes, where: str, on_black: bool = False) -> Seen:
    """The image as RGB on white, the way models see it: guard and model get the same pixels."""
    try:
        image = Image.from_bytes(data, where)
        white = image.pil()
        black = image.pil("black") if on_black else white
        differs = black is not white and black.tobytes() != white.tobytes()  # something shines through
        return Seen(_stored(white, where), _stored(black, where) if differs else None)
    except Exception:  # whatever a broken file makes its reader do
        raise ApiError(400, "invalid_image", f"{where}: corrupt image", where) from None


def _stored(image: PIL.Image.Image, where: str) -> Image:
    """Pixels as PNG, packed lightly, and its hash, which is wanted later where it must not take time."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    made = Image.from_bytes(buffer.getvalue(), where)
    assert made.sha256
    return made


def _too_many(where: str, limits: Limits) -> ApiError:
    return ApiError(413, "too_many_pixels", f"{where}: an image may have at most {limits.pixels:,} pixels", where)
