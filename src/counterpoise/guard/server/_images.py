"""One image of a request: data URL, base64 or address -> a value that guard and model see alike."""

import asyncio
import base64
import binascii
import io

import PIL.Image

from counterpoise.base import InputError
from counterpoise.chat import Image

from ._config import Fetch, Limits
from ._errors import ApiError
from ._fetch import FORBIDDEN, fetch

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


async def read_image(value: str, where: str, limits: Limits, settings: Fetch) -> Image:
    """An image that has been decoded once, so that nothing that comes later can fail on it. Raises ApiError."""
    if value.startswith(("http://", "https://")):
        if not settings.hosts:
            raise ApiError(400, "fetch_forbidden", f"{where}: addresses are not fetched here; send a data URL", where)
        data = await fetch(value, settings, limits.image_bytes)
    else:
        data = decoded(value, where, limits.image_bytes)
    return await asyncio.to_thread(checked_image, data, where, limits)


def decoded(value: str, where: str, limit: int) -> bytes:
    """The bytes of a data URL or of plain base64."""
    body = value
    if value.startswith("data:"):
        head, comma, body = value.partition(",")
        if not comma or not head.endswith(";base64"):
            raise ApiError(400, "unsupported_media", f"{where}: expected data:image/...;base64,...", where)
    elif "://" in value[:16]:
        raise FORBIDDEN
    if len(body) * 3 // 4 > limit + 3:
        raise ApiError(413, "too_large", f"{where}: an image may have at most {limit:,} bytes", where)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "invalid_image", f"{where}: broken base64", where) from None


def checked_image(data: bytes, where: str, limits: Limits) -> Image:
    """Format by content, size from the header, a single frame, and whole: as RGB on white, the way models see it."""
    if len(data) > limits.image_bytes:
        raise ApiError(413, "too_large", f"{where}: an image may have at most {limits.image_bytes:,} bytes", where)
    try:
        opened = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
        frames = int(getattr(opened, "n_frames", 1))
    except PIL.Image.DecompressionBombError:
        raise _too_many(where, limits) from None
    except Exception:  # whatever a broken file makes its reader do
        raise ApiError(400, "invalid_image", f"{where}: no readable {', '.join(FORMATS)}", where) from None
    if opened.size[0] * opened.size[1] > limits.pixels:
        raise _too_many(where, limits)
    if frames > 1:
        raise ApiError(400, "unsupported_media", f"{where}: {frames} frames; send a still image", where)
    image = Image.from_bytes(data, where)
    try:
        return Image.from_pil(image.pil(), where)  # flattened once: guard and model get the same pixels
    except InputError as error:
        raise ApiError(400, "invalid_image", str(error), where) from None
    except Exception:
        raise ApiError(400, "invalid_image", f"{where}: corrupt image", where) from None


def _too_many(where: str, limits: Limits) -> ApiError:
    return ApiError(413, "too_many_pixels", f"{where}: an image may have at most {limits.pixels:,} pixels", where)
