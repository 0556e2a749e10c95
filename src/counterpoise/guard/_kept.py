"""Results about labelled rows that cost a pass of a model: kept on disk block by block, so that none is made twice."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError, Progress, atomic_write, sha256_bytes

from ._labelled import Labelled

Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")


class Form(NamedTuple, Generic[T]):
    """How one block's result stands in a file."""

    file: str
    """Its name, with {} for the key."""
    write: Callable[[IO[bytes], T], None]
    read: Callable[[Path], T]


def kept_blocks(
    rows: Sequence[Labelled], made: Callable[[Sequence[Labelled]], T], *, size: int, form: Form[T], folder: Path | None,
    key: Callable[[Sequence[Labelled]], str], title: str,
) -> Iterator[T]:  # fmt: skip
    """What `made` says of each block of `size` rows, in order: read where `folder` holds it under the block's `key`
    (see `content_key`), otherwise made and, with a folder, kept.

    Raises InputError for a file that cannot be read.
    """
    with Progress(title, len(rows)) as bar:
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            file = None if folder is None else folder / form.file.format(key(block))
            if file is not None and file.is_file():
                found = _read(file, form)
            else:
                found = made(block)
                if file is not None:
                    with atomic_write(file, "wb") as opened:
                        form.write(opened, found)
            yield found
            bar.advance(len(block))


def _read(file: Path, form: Form[T]) -> T:
    from zipfile import BadZipFile

    from safetensors import SafetensorError

    try:
        return form.read(file)
    except (SafetensorError, BadZipFile, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{file}: damaged ({error}); delete it to look at these rows again") from error


def content_key(rows: Iterable[Labelled], *about: str) -> str:
    """What a result about these rows is kept under: a hash of all that they show (roles, texts, images, answers; not
    their ids or labels), and of what else the result depends on."""
    parts = list(about)
    for row in rows:
        for message in row.exchange.conversation:
            parts += [message.role, *(p if isinstance(p, str) else f"image {p.sha256}" for p in message.parts)]
        parts.append(f"answer {row.exchange.answer!r}")
    return sha256_bytes("\x1f".join(parts).encode("utf-8", "replace"))[:32]


def _write_named(file: IO[bytes], value: Arrays) -> None:
    from safetensors.numpy import save

    file.write(save(value))


def _read_named(file: Path) -> Arrays:
    from safetensors.numpy import load_file

    return dict(load_file(file))


def _write_list(file: IO[bytes], value: Sequence[NDArray[Any]]) -> None:
    arrays: Any = {str(n): each for n, each in enumerate(value)}
    np.savez(file, **arrays)


def _read_list(file: Path) -> list[NDArray[Any]]:
    with np.load(file) as stored:
        return [stored[str(n)] for n in range(len(stored))]


NAMED: Form[Arrays] = Form("{}.safetensors", _write_named, _read_named)
"""Arrays by name."""
LIST: Form[list[NDArray[Any]]] = Form("features-{}.npz", _write_list, _read_list)
"""An array for each row, of different lengths."""
ONE: Form[NDArray[Any]] = Form("{}.npy", np.save, np.load)
"""One array over all rows."""
