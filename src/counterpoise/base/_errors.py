"""Errors that a user can act on. The command line prints their text as one line and exits with code 2."""

import importlib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType


class InputError(ValueError):
    """Something the user gave is wrong: a file, a row, a field, an option.

    The message is one line: what was wrong, where, what to do. `where` builds the usual prefix.
    """

    @classmethod
    def at(
        cls, source: str | Path, problem: str, *, row: int | str | None = None, field: str | None = None
    ) -> "InputError":
        """`figstep: row 17, field "instruction": empty; expected text`."""
        place = [f"row {row}"] if row is not None else []
        place += [f'field "{field}"'] if field is not None else []
        return cls(f"{source}: {', '.join(place)}{': ' if place else ''}{problem}")

    @classmethod
    def unknown(cls, kind: str, name: str, known: Iterable[str]) -> "InputError":
        """`unknown suite 'cor'; did you mean 'core'? known: smoke, core, full`."""
        names = list(known)
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return cls(f"unknown {kind} {name!r}; {hint}known: {', '.join(names)}")


class MissingPackageError(ImportError):
    """An optional package is not installed; the message says which one, what for, and how to get it."""


def first_line(error: BaseException) -> str:
    """What an exception says first, at most 200 characters of it."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def require(module: str, *, purpose: str, install: str) -> ModuleType:
    """Import an optional module, or raise MissingPackageError with one line that says what to install.

    Of a package that is here and does not fit another one (a compiled part of another release) the line says why.
    """
    name = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(f"{purpose} needs {name}: pip install '{install}'") from error
    except (RuntimeError, OSError, AttributeError) as error:
        raise MissingPackageError(
            f"{purpose} needs {name}, which does not work with what is installed beside it ({first_line(error)}): "
            f"pip install '{install}' in one step"
        ) from error
