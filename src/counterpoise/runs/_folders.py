"""Where results go when nobody says where: a folder of its own for everything that is another measurement."""

import re
from pathlib import Path

from counterpoise.base import sha256_bytes

LONGEST = 80
"""Characters of a folder's name; what is longer is cut, and told apart by a hash."""


def default_folder(root: str, model: str, *parts: str, artifact: Path | None = None) -> Path:
    """`root`/MODEL-PART-...-ARTIFACT. Empty parts are left out.

    `org/model` becomes `org--model`. A folder is named by its last part and six digits of a hash of where it is, since
    every other model lies in a folder called `checkpoint-500`, and every adapter in one called `adapter`.
    """
    names = [_named(model), *(_plain(part) for part in parts if part)]
    whole = "-".join([*names, *([_named(str(artifact))] if artifact else [])])
    if len(whole) > LONGEST:
        whole = f"{whole[: LONGEST - 9]}-{sha256_bytes(whole.encode())[:8]}"
    return Path(root) / whole


def placed(file: Path) -> str:
    """A file's or folder's name without its ending, and six digits of a hash of where it is."""
    where = file.resolve()
    return f"{_plain(where.name if where.is_dir() else where.stem)}-{_digits(where)}"


def _named(place: str) -> str:
    path = Path(place)
    if path.is_dir() or path.is_absolute() or place.startswith("."):
        where = path.resolve()
        return f"{_plain(where.name)}-{_digits(where)}"
    return _plain("--".join(path.parts))


def _digits(where: Path) -> str:
    return sha256_bytes(str(where).encode("utf-8", "surrogateescape"))[:6]


def _plain(text: str) -> str:
    """Characters that every file system and shell takes as they are."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.") or "x"
