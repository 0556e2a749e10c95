"""Where public benchmark rows lie and which words and icons our own pages may use."""

import os
from functools import lru_cache
from pathlib import Path

from counterpoise.base import InputError

HERE = Path(__file__).parent


def data_home() -> Path:
    """The folder that fetched rows go to, whether or not it is there: COUNTERPOISE_DATA, else `counterpoise/data` in
    the user's data directory (on Linux below XDG_DATA_HOME or ~/.local/share). Raises InputError where a file stands
    in its place."""
    value = os.environ.get("COUNTERPOISE_DATA")
    if value:
        folder = Path(value).expanduser()
        if folder.exists() and not folder.is_dir():
            raise _no_folder(folder)
        return folder
    from platformdirs import user_data_path

    return user_data_path("counterpoise", appauthor=False) / "data"


def data_root() -> Path | None:
    """The folder of public rows: the one that the environment variable COUNTERPOISE_DATA names, else `data_home` when
    something was fetched into it, else None.

    Raises InputError when the variable names something that is not a folder.
    """
    folder = data_home()
    if folder.is_dir():
        return folder
    if os.environ.get("COUNTERPOISE_DATA"):
        raise _no_folder(folder)
    return None


def _no_folder(path: Path) -> InputError:
    return InputError(f"COUNTERPOISE_DATA: {path} is not a folder; set it to the folder of benchmark rows")


@lru_cache(maxsize=1)
def lexicon() -> tuple[str, ...]:
    """The words that the pocket model was taught to read, sorted."""
    return tuple((HERE / "lexicon.txt").read_text(encoding="utf-8").split())


@lru_cache(maxsize=1)
def concepts() -> tuple[str, ...]:
    """The names of the icons that our picture pages may show, sorted."""
    return tuple((HERE / "concepts.txt").read_text(encoding="utf-8").split())
