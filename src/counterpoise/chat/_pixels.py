"""Any image file as 8-bit RGB. What models, judges, guards and reports see of an image is made here and nowhere else.

The first picture of a file counts: the first frame of an animation, the first page of a TIFF, the main picture of a
phone's multi-picture JPEG. It is turned as its EXIF data say, its greys are scaled to 8 bits, and what is transparent
shows the background.
"""

import warnings
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import PIL.Image
import PIL.ImageOps

from counterpoise.base import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_PIXELS = 50_000_000  # 7,071 x 7,071: above any benchmark image, far below a decompression bomb
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_ALWAYS = f"{', '.join(FORMATS)}, AVIF, HEIC"
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_DEEP_GREYS = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_AS_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # PNG holds these without loss
_TURNS = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}  # where an orientation may stand
_WHITES, _OVERSHOOT = (1.0, 255.0, 65535.0), 1.05  # what white may be; resampled values exceed it a little
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF


class TooManyPixels(InputError):
    """The image has more than MAX_PIXELS pixels, by its header; nothing was decoded."""


class Header(NamedTuple):
    """What a file says of itself before anything is decoded."""

    format: str
    """PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF or HEIF."""
    size: tuple[int, int]
    """(width, height) as stored, before it is turned upright."""
    animated: bool
    """Further frames or pages follow the first. The copies that phones put behind a JPEG are none."""
    portable: bool
    """Other people's decoders show what ours shows. The first of several frames, transparency, EXIF turns, CMYK and
    greys deeper than 8 bits are treated differently everywhere."""


def read_header(file: IO[bytes], source: str) -> Header:
    """Raises InputError (one line) for what is no image or has more than MAX_PIXELS pixels."""
    image = _open(file, source)
    try:
        phone = image.format == "MPO"
        animated = not phone and bool(getattr(image, "is_animated", False))
        return Header("JPEG" if phone else str(image.format), image.size, animated, _shown_alike(image, animated))
    except MemoryError:
        raise
    except Exception as error:  # whatever a broken file makes its reader do
        raise _corrupt(source, error) from error


def _open(file: IO[bytes], source: str) -> PIL.Image.Image:
    """Read the header. Raises InputError (one line) for what is no image or has more than MAX_PIXELS pixels."""
    head = file.read(64)
    file.seek(0)
    formats = _formats(head, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which our own cap refuses, and of odd metadata
            image = PIL.Image.open(file, formats=formats)
    except PIL.Image.DecompressionBombError as error:
        raise TooManyPixels(f"{source}: more than {MAX_PIXELS:,} pixels; scale it down") from error
    except MemoryError:
        raise
    except Exception as error:  # whatever a broken file makes its reader do
        what = "empty file" if not head else f"not a readable image ({_ALWAYS})"
        raise InputError(f"{source}: {what}") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise TooManyPixels(
            f"{source}: {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are decoded, scale it down"
        )
    return image


def decode(file: IO[bytes], source: str, background: str = "white") -> PIL.Image.Image:
    """The first picture of a file as RGB, upright, opaque. Raises InputError as `read_header`, or for broken pixels."""
    image = _open(file, source)
    try:
        image.load()
        return to_rgb(image, source, background)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever a broken file makes its reader do
        raise _corrupt(source, error) from error


def _corrupt(source: str, error: Exception) -> InputError:
    problem = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{source}: corrupt or truncated image ({problem})")


def to_rgb(image: PIL.Image.Image, source: str, background: str = "white") -> PIL.Image.Image:
    """A decoded picture of any mode as 8-bit RGB: turned upright by its EXIF data, transparency on the background.

    Greys deeper than 8 bits are scaled so that no picture nearly vanishes. 32-bit integers and floats do not say what
    white is: it is the smallest of 1, 255 and 65,535 that no value exceeds by more than 5 % (resampling overshoots;
    what exceeds it is white) when the largest value is above half of it and none is negative. 16 bits: 65,535 is white,
    or 4,095 in a TIFF of 12 bits. In all other cases, and for 16-bit values that are all at most 4,095 (as cameras and
    scanners of 12 bits write them), black is the smallest value and white the largest. Raises InputError when a value
    is not finite.
    """
    tags = getattr(image, "tag_v2", {})  # lost by the next line
    image = _upright(image)
    if image.mode in _DEEP_GREYS:
        image = _eight_bits(image, tags, source)
    elif image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    page = PIL.Image.new("RGBA", image.size, background)
    return PIL.Image.alpha_composite(page, image.convert("RGBA")).convert("RGB")


def storable(image: PIL.Image.Image, source: str) -> PIL.Image.Image:
    """The picture itself when PNG holds its mode without loss, else as RGB."""
    return image if image.mode in _AS_PNG else to_rgb(image, source)


def _shown_alike(image: PIL.Image.Image, animated: bool) -> bool:
    if image.format not in ("PNG", "JPEG", "MPO", "WEBP", "GIF") or image.mode not in ("1", "L", "P", "RGB"):
        return False
    if animated or image.has_transparency_data:
        return False
    return not _TURNS & set(image.info) or _orientation(image) == 1


def _formats(head: bytes, source: str) -> tuple[str, ...]:
    """The readers to try. HEIC and AVIF have the same container, and readers that not every installation has."""
    if head[4:8] != b"ftyp":
        return FORMATS
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[place : place + 4] for place in range(16, length, 4))}
    if brands & _AVIF:
        PIL.Image.init()
        if "AVIF" not in PIL.Image.OPEN:
            raise InputError(
                f"{source}: an AVIF image, which this Pillow cannot read; pip install 'pillow>=11.3', or save it as PNG"
            )
        return ("AVIF",)
    if brands & _HEIC:
        try:
            import pillow_heif
        except ImportError as error:
            raise InputError(
                f"{source}: a HEIC image; pip install 'counterpoise[heic]' to read it, or save it as JPEG or PNG"
            ) from error
        pillow_heif.register_heif_opener()
        return ("HEIF",)
    return FORMATS  # none of which it is: a video, say


def _orientation(image: PIL.Image.Image) -> int:
    """1 to 8. EXIF data that cannot be read say nothing, as in every viewer."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:
        return 1


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    return PIL.ImageOps.exif_transpose(image) if _orientation(image) in range(2, 9) else image


def _eight_bits(image: PIL.Image.Image, tags: Mapping[int, Any], source: str) -> PIL.Image.Image:
    """A deep grey as L, or as LA where one value stands for transparent (16-bit PNG)."""
    import numpy as np  # here, so that importing this room stays fast

    values = np.asarray(image)
    if image.mode == "I" and tags and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1:
        values = values.view(np.uint32)  # Pillow holds unsigned integers in signed ones
    if image.mode == "F" and not np.isfinite(values).all():
        raise InputError(f"{source}: holds values that are not finite numbers; expected an image")
    low, high = float(values.min()), float(values.max())
    low, high = _range(low, high, image.mode, tags)
    grey = _between(values, low, high)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero; Pillow turns only shallower greys
        grey = 255 - grey
    made = PIL.Image.fromarray(grey)
    transparent = image.info.get("transparency")
    if transparent is not None:
        made.putalpha(PIL.Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return made


def _range(low: float, high: float, mode: str, tags: Mapping[int, Any]) -> tuple[float, float]:
    """The values that become black and white, from the smallest and the largest; see `to_rgb`."""
    flat = low == high  # without contrast there is none to lose, so its brightness may stay
    if mode.startswith("I;16"):
        if tags.get(_BITS) == (12,):
            return 0.0, 4095.0
        return (0.0, 65535.0) if high > 4095 or flat else (low, high)
    white = next((white for white in _WHITES if high <= white * _OVERSHOOT), None)
    return (0.0, white) if white and low >= 0 and (high > white / 2 or flat) else (low, high)


def _between(values: "NDArray[Any]", low: float, high: float) -> "NDArray[np.uint8]":
    """`low` to 0, `high` to 255, those between in proportion, those beyond as the nearer of the two."""
    import numpy as np

    scaled = values.astype(np.float32)
    scaled -= low
    scaled *= 255 / (high - low or 1)
    np.clip(scaled, 0, 255, out=scaled)
    return np.rint(scaled, out=scaled).astype(np.uint8)
