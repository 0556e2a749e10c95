"""Writing that never leaves half a file, and hashes of files."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ._errors import InputError

_HALF = re.compile("[\ud800-\udfff]")
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # the escape itself, not a backslash and the letters behind it


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`, and rename it over `path` only when the block ends without an error."""
    encoding = None if "b" in mode else "utf-8"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(handle, mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot write ({error.strerror or error}); free some space or choose another --out")


def check_writable(path: Path, *, folder: bool = True) -> None:
    """Raises InputError where a folder (or, with `folder=False`, a file) could not be written: said before the work
    whose result goes there. Folders that are made to try it are removed again."""
    place = path if folder else path.parent
    made: list[Path] = []
    try:
        for each in [*reversed(place.parents), place]:
            if not each.is_dir():
                each.mkdir()
                made.append(each)
        with tempfile.TemporaryFile(dir=place):
            pass
        if not folder and path.is_dir():
            raise InputError(f"{path}: is a folder; name a file")
    except FileExistsError as error:
        raise InputError(f"{each}: is a file, no folder; choose another --out") from error
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        for each in reversed(made):
            with suppress(OSError):  # another process has put something there
                each.rmdir()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, atomically. See `json_line` for odd characters."""
    with atomic_write(path) as file:
        file.write(_readable(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def json_line(value: Any) -> str:
    """One line of a JSON Lines file, its end included, that every reader takes back.

    NUL and half of a surrogate pair, which a model's reply may hold, become U+FFFD; two halves that stand together
    become the character that they are.
    """
    return _readable(json.dumps(value, ensure_ascii=False)) + "\n"


def _readable(text: str) -> str:
    if _HALF.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _NUL.sub("\\1\ufffd", text) if "\\u0000" in text else text


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
