"""Finding the files of public benchmarks."""

from collections.abc import Callable
from pathlib import Path

from counterpoise.base import InputError
from counterpoise.data import data_root
from counterpoise.data.sources import Source


def need(*parts: str, origin: str) -> Callable[[], str | None]:
    """A check that a file or folder of COUNTERPOISE_DATA is there; its answer says where to get it."""

    def check() -> str | None:
        root = data_root()
        place = "/".join(parts)
        if root is None:
            return f"set COUNTERPOISE_DATA to a folder that holds {place} (from {origin})"
        return None if root.joinpath(*parts).exists() else f"no {root / place}; get {origin}"

    return check


def published(source: Source) -> str:
    """Where a source is, and what its authors ask for first."""
    return f"{source.origin.place} ({source.gate})" if source.gate else source.origin.place


def path(*parts: str) -> Path:
    """A path below COUNTERPOISE_DATA. Raises InputError when the variable is not set."""
    root = data_root()
    if root is None:
        raise InputError(f"{'/'.join(parts)}: set COUNTERPOISE_DATA to the folder of benchmark rows")
    return root.joinpath(*parts)


def either(folder: str, *names: str, origin: str) -> tuple[Callable[[], Path], Callable[[], str | None]]:
    """For a file published in several formats: (the path of the first that is here, a check that one is here)."""

    def found() -> Path:
        places = [path(folder, name) for name in names]
        return next((place for place in places if place.exists()), places[0])

    def check() -> str | None:
        reasons = [need(folder, name, origin=origin)() for name in names]
        return None if None in reasons else reasons[0]

    return found, check


def shards(folder: Path, pattern: str) -> list[Path]:
    """Files of a table in several parts, by name. Raises InputError when there is none."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(f"{folder / pattern}: no such file")
    return found
