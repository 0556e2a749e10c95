"""An image as a value: bytes on disk or in memory, decoded late, with caps, always flattened the same way."""

import base64
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import PIL.Image

from counterpoise.base import InputError, sha256_bytes

from ._pixels import Header, decode, read_header, storable

MAX_IMAGE_BYTES = 50_000_000


@dataclass(frozen=True)
class Image:
    """One image of a conversation. Build it with `from_path`, `from_bytes`, `from_pil` or `from_data_uri`.

    Nothing is decoded until `pil()` is called; `sha256` is the hash of the encoded bytes and is what caches use.
    """

    source: str
    """Where it came from, for error messages: a path, or a short description."""
    path: Path | None = None
    data: bytes | None = None

    @classmethod
    def from_path(cls, path: str | Path) -> "Image":
        """A file on disk. Raises InputError when it does not exist, is empty or is larger than MAX_IMAGE_BYTES."""
        file = Path(path)
        if not file.is_file():
            raise InputError(f"{file}: no such image file")
        size = file.stat().st_size
        if size == 0:
            raise InputError(f"{file}: empty file; expected an image")
        if size > MAX_IMAGE_BYTES:
            raise InputError(f"{file}: {size:,} bytes; images may have at most {MAX_IMAGE_BYTES:,}")
        return cls(source=str(file), path=file)

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "image in memory") -> "Image":
        if len(data) > MAX_IMAGE_BYTES:
            raise InputError(f"{source}: {len(data):,} bytes; images may have at most {MAX_IMAGE_BYTES:,}")
        return cls(source=source, data=data)

    @classmethod
    def from_pil(cls, image: PIL.Image.Image, source: str = "rendered image") -> "Image":
        """Encode as PNG, reproducibly; without loss, except that modes which PNG does not have become RGB first."""
        buffer = io.BytesIO()
        storable(image, source).save(buffer, "PNG")
        return cls(source=source, data=buffer.getvalue())

    @classmethod
    def from_data_uri(cls, uri: str, source: str = "data URI") -> "Image":
        """Decode `data:image/...;base64,...`. Raises InputError on anything else (URLs are never fetched)."""
        head, comma, body = uri.partition(",")
        if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
            raise InputError(f"{source}: expected data:image/...;base64,...; got {uri[:40]!r}")
        try:
            return cls.from_bytes(base64.b64decode(body, validate=True), source)
        except ValueError as error:
            raise InputError(f"{source}: broken base64 ({error})") from error

    def read(self) -> bytes:
        """The encoded bytes. A subclass that makes them when they are needed overrides this."""
        if self.data is not None:
            return self.data
        assert self.path is not None
        with self._stream() as file:
            return file.read()

    @cached_property
    def sha256(self) -> str:
        return sha256_bytes(self.read())

    @cached_property
    def header(self) -> Header:
        """Format, size and kind, without decoding. Raises InputError when the file cannot be an image."""
        with self._stream() as file:
            return read_header(file, self.source)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as stored (before it is turned upright), from the header."""
        return self.header.size

    def pil(self, background: str = "white") -> PIL.Image.Image:
        """Decode to 8-bit RGB: first frame, turned as EXIF says, transparency on the background, deep greys scaled.

        Raises InputError when the bytes are not an image, are truncated, or hold more than MAX_PIXELS pixels.
        """
        with self._stream() as file:
            return decode(file, self.source, background)

    def data_uri(self) -> str:
        """`data:image/<format>;base64,...` for a server: the stored bytes when it will see in them what we see, else
        the decoded picture as PNG."""
        if self.header.portable:
            return f"data:image/{self.header.format.lower()};base64,{base64.b64encode(self.read()).decode()}"
        return Image.from_pil(self.pil(), self.source).data_uri()

    def _stream(self) -> IO[bytes]:
        if self.path is None:
            return io.BytesIO(self.read())
        try:
            return self.path.open("rb")
        except OSError as error:
            raise InputError(f"{self.source}: {error.strerror or error}") from error
