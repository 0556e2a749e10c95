"""One process at a time works in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ._errors import InputError

LOCK = ".lock"
"""The file that stands for a folder. It is empty and stays behind; the lock is the system's, on the open file."""


@contextmanager
def only_process(
    folder: Path,
    doing: str = "works in this folder",
    hint: str = "wait until it has ended, or choose another --out",
    unwritable: str = "free some space or choose another --out",
) -> Iterator[None]:
    """Hold a folder (made when it is not there) as long as the block runs. A killed process leaves no lock behind.

    Raises InputError for whoever comes second, process or thread, and for a folder that cannot be written. The lock is
    `flock` on POSIX and `LockFile` on Windows, through the package filelock; on a file system without locks filelock
    itself falls back to a marker file, which a killed process leaves: the message then says which file to remove.
    """
    from filelock import FileLock, Timeout  # here, so that importing this room stays fast

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        left = (folder / LOCK).stat().st_size if (folder / LOCK).exists() else 0  # a marker says whose it is
        marker = f" (if there is none, remove {folder / LOCK})" if left else ""
        raise InputError(f"{folder}: another process {doing}{marker}; {hint}") from error
    except OSError as error:
        raise InputError(f"{folder}: cannot write ({error.strerror or error}); {unwritable}") from error
    try:
        yield
    finally:
        lock.release()
