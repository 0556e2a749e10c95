"""The images of transcripts: shrunk into the page, or as the file in the evaluation's folder beside it."""

import base64
import io
from pathlib import Path

from counterpoise.base import InputError

from ._folder import EvalFolder

THUMBNAIL = 448


class Images:
    """Images of the evaluations by their hash, for a page in the folder `beside`."""

    def __init__(self, beside: Path, *folders: EvalFolder | None):
        self._beside = beside.resolve()
        self._folders = [folder for folder in folders if folder]

    def thumbnail(self, sha256: str) -> str | None:
        """A data URI, at most 448 pixels wide and high; None when the image is missing or unreadable."""
        from counterpoise.chat import Image

        file = self._file(sha256)
        if file is None:
            return None
        try:
            image = Image.from_path(file).pil()
        except InputError:
            return None  # an unreadable image is counted as left out; the transcript itself stays
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=80, method=4)
        return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    def address(self, sha256: str) -> str | None:
        """Its file as an address relative to the page; None when it is not below the page's folder, because a page that
        leads out of its folder cannot be handed on with it."""
        file = self._file(sha256)
        if file is None or not file.resolve().is_relative_to(self._beside):
            return None
        return file.resolve().relative_to(self._beside).as_posix()

    def _file(self, sha256: str) -> Path | None:
        return next((path for folder in self._folders if (path := folder.image(sha256))), None)
