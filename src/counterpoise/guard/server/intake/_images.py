"""Images of a request: data URL, base64 or address -> values that guard and model see alike."""

import asyncio
import base64
import binascii
import hashlib
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import PIL.Image

from counterpoise.chat import Image, TooManyPixels

from .._config import Fetch, Limits
from .._errors import ApiError
from .._tasks import gathered
from ._fetch import fetch, forbidden

T = TypeVar("T")

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
PIL.Image.init()  # its readers are loaded now and not with the first image
_DECODERS = ThreadPoolExecutor(2, thread_name_prefix="decode")
"""So many images are decoded at once, whatever arrives."""


@dataclass(frozen=True)
class Checked(Image):
    """An image that was decoded: nothing later can fail on it."""

    pixels: str = ""
    """Hash of its pixels: what two encodings of one picture have in common."""


class Seen(NamedTuple):
    """One image as models' servers see it, and as they might."""

    image: Checked
    """As it came where every decoder shows the same of it; otherwise (turned by its EXIF data, transparent, CMYK, deep)
    encoded anew. So whoever passes it on passes on what the guards saw."""
    black: Checked | None = None
    """On black, where that differs and is to be looked at too."""
    sent: str | None = None
    """The data URL that came, where it can go on as it is."""

    @property
    def url(self) -> str:
        """A data URL of exactly what was seen."""
        return self.sent or self.image.data_uri()


async def read_images(values: Sequence[tuple[str, str]], limits: Limits, settings: Fetch) -> list[Seen]:
    """(value, where) of every image -> images that were decoded once, so that nothing later can fail on them.

    Sizes are read from all headers before the first pixel is decoded. Raises ApiError.
    """
    data = await gathered(_bytes(value, where, limits, settings) for value, where in values)
    if sum(map(len, data)) > limits.request_bytes:
        raise ApiError(413, "too_large", f"images of a request may have at most {limits.request_bytes:,} bytes")
    named = [(each, where) for each, (_, where) in zip(data, values, strict=True)]
    pixels = await gathered(aside(header, each, where, limits) for each, where in named)
    if sum(pixels) > limits.request_pixels:
        raise ApiError(413, "too_many_pixels", f"images of a request may have at most {limits.request_pixels:,} pixels")
    seen = await gathered(aside(flat, each, where, limits.alpha_on_black) for each, where in named)
    return [_as_sent(each, own, value) for each, own, (value, _) in zip(seen, data, values, strict=True)]


def _as_sent(seen: Seen, data: bytes, value: str) -> Seen:
    """With the data URL that came, if it is one of this very image."""
    same = seen.image.data is data and value.startswith(f"data:image/{seen.image.header.format.lower()};base64,")
    return seen._replace(sent=value) if same else seen


async def aside(work: Callable[..., T], *given: Any) -> T:
    """The result of work that must not hold up other requests: even a header can take long to read."""
    return await asyncio.get_running_loop().run_in_executor(_DECODERS, work, *given)


async def _bytes(value: str, where: str, limits: Limits, settings: Fetch) -> bytes:
    if not value.startswith(("http://", "https://")):
        return await aside(decoded, value, where, limits.image_bytes)
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
    """The image as every decoder shows it, and its black side where that is wanted and another."""
    try:
        image = Image.from_bytes(data, where)
        white = image.pil()
        black = image.pil("black") if on_black else white
        if image.header.portable:
            seen = Checked(where, data=data, pixels=_hash(white))
        else:
            seen = _stored(white, where, "JPEG" if image.header.format == "JPEG" else "PNG")
        differs = black is not white and black.tobytes() != white.tobytes()  # something shines through
        return Seen(seen, _stored(black, where, "PNG") if differs else None)
    except Exception:  # whatever a broken file makes its reader do
        raise ApiError(400, "invalid_image", f"{where}: corrupt image", where) from None


def _stored(image: PIL.Image.Image, where: str, kind: str) -> Checked:
    """A picture encoded anew, and decoded again where that loses a little: the guards see what goes on. Photographs
    stay JPEG: as PNG they would have ten times the bytes."""
    buffer = io.BytesIO()
    image.info = {}  # of the file it was; its turns are done
    image.save(buffer, kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {"compress_level": 1}))
    made = Checked(where, data=buffer.getvalue())
    return Checked(where, data=made.data, pixels=_hash(made.pil() if kind == "JPEG" else image))


def _hash(image: PIL.Image.Image) -> str:
    """Of the pixels, in bands: a copy of all of them at once would hold other threads up."""
    width, height = image.size
    digest = hashlib.sha256(f"{image.mode} {width} {height}".encode())
    for top in range(0, height, 256):
        digest.update(image.crop((0, top, width, min(top + 256, height))).tobytes())
    return digest.hexdigest()


def _too_many(where: str, limits: Limits) -> ApiError:
    return ApiError(413, "too_many_pixels", f"{where}: an image may have at most {limits.pixels:,} pixels", where)
