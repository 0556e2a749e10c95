"""The files of an evaluation: images by content hash, and logs of which only finished ones are kept."""

import dataclasses
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import PIL.Image

from counterpoise.base import InputError, sha256_bytes
from counterpoise.chat import Image, Message, Sample

_PNG = b"\x89PNG\r\n\x1a\n"


def keep_images(sample: Sample, folder: Path) -> Sample:
    """The sample with its images as files, so that a long list of samples holds no pixels.

    Each image is decoded once here and stored as `<sha256>.png`; bytes of another format that are in memory only are
    kept under `original/` as well, because they are what the model sees and what the hash is of. Raises InputError
    naming an image that cannot be decoded, before any answer is generated.
    """
    if not any(message.images for message in sample.messages):
        return sample
    messages = tuple(
        Message(message.role, tuple(_kept(part, folder) if isinstance(part, Image) else part for part in message.parts))
        for message in sample.messages
    )
    return dataclasses.replace(sample, messages=messages)


def _kept(image: Image, folder: Path) -> Image:
    data = image.read()
    file = folder / f"{sha256_bytes(data)}.png"
    if not file.exists():
        _write(file, data, image.pil())
    if image.path is not None:
        return image
    if not data.startswith(_PNG):
        file = folder / "original" / sha256_bytes(data)
        if not file.exists():
            _replace(file, data)
    return Image(source=image.source, path=file)


def _write(file: Path, data: bytes, decoded: PIL.Image.Image) -> None:
    if not data.startswith(_PNG):
        buffer = io.BytesIO()
        decoded.save(buffer, "PNG")
        data = buffer.getvalue()
    _replace(file, data)


def _replace(file: Path, data: bytes) -> None:
    """Whole or not at all, like `atomic_write`, but without waiting for the disk at each of thousands of images: after
    a power failure they are made again."""
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{file}: cannot write ({error.strerror or error}); free some space or choose another --out"
        ) from error


class Logs:
    """The Inspect logs of an evaluation. The headers of those that are there are read once, when it is made: a stop
    rule writes a log for every block, and asks for each whether it is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._finished: set[str] = set()
        self._unfinished: list[tuple[Path, str]] = []
        for file, log in _headers(folder):
            self.add(file, log.eval.task, str((log.eval.metadata or {}).get("work")), log.status == "success")

    def add(self, file: Path, task: str, digest: str, success: bool) -> None:
        """Say that a log is there now."""
        if success:
            self._finished.add(digest)
        else:
            self._unfinished.append((file, task))

    def finished(self, digest: str) -> bool:
        """Whether a complete log of exactly this work is in the folder."""
        return digest in self._finished

    def drop_unfinished(self, task: str) -> None:
        """Remove what killed or stopped evaluations of a task left behind; their answers are in the journal."""
        for file, name in self._unfinished:
            if name == task:
                file.unlink(missing_ok=True)
        self._unfinished = [(file, name) for file, name in self._unfinished if name != task]


def _headers(folder: Path) -> Iterable[tuple[Path, Any]]:
    from inspect_ai.log import read_eval_log

    for file in sorted(folder.glob("*.eval")):
        try:
            yield file, read_eval_log(str(file), header_only=True)
        except Exception:  # a log cut off by kill -9 may be unreadable in many ways; it is left where it is
            continue
