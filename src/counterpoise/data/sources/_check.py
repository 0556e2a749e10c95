"""Whether a downloaded file is the one that was meant."""

import hashlib
from pathlib import Path

from counterpoise.base import InputError

from ._source import Remote


def digests(file: Path) -> tuple[str, str]:
    """(SHA-256, git's blob id) of a file, in one pass of 1 MiB pieces."""
    size = file.stat().st_size
    plain, blob = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with file.open("rb") as handle:
        while piece := handle.read(1 << 20):
            plain.update(piece)
            blob.update(piece)
    return plain.hexdigest(), blob.hexdigest()


def checked(file: Path, remote: Remote, name: str, *, declared: str = "", recorded: str = "") -> str:
    """The SHA-256 of a file that is what its declaration, the first fetch and its origin's listing say of it.

    Raises InputError that says which of them disagrees: a changed source is never taken for the one that was pinned.
    """
    found, blob = digests(file)
    for expected, whose in (
        (declared, "the SHA-256 that its card declares"),
        (recorded, "the SHA-256 of the first fetch"),
        (remote.sha256, "the SHA-256 of its listing"),
    ):
        if expected and found != expected:
            raise InputError(
                f"{name}: {remote.path} is not the file that was pinned: {found[:16]}... is not {expected[:16]}..., "
                f"{whose}; nothing of it was kept"
            )
    if remote.blob and not remote.sha256 and blob != remote.blob:
        raise InputError(
            f"{name}: {remote.path} was changed on its way: git's hash is {blob[:16]}..., its listing has "
            f"{remote.blob[:16]}...; nothing of it was kept"
        )
    return found
