"""Options of guards on a command line, NAME=VALUE."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Options = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="NAME=VALUE for the guard, such as dtype=bfloat16 or explain=no; repeatable."),
]

Force = Annotated[bool, typer.Option("--force", help="Replace the results of another run in the folder.")]


def options_of(given: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE pairs; numbers, true and false are read as such."""
    import json

    from counterpoise.base import InputError, check_values

    made: dict[str, Any] = {}
    for each in given or []:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--option {each}: write NAME=VALUE, such as dtype=bfloat16")
        try:
            made[name] = json.loads(value)
        except (ValueError, RecursionError):
            made[name] = value
        check_values(made[name], f"--option {name}", numbers=True)
    return made


def absent(file: Path, *, force: bool) -> None:
    """Raises InputError where `file` is there already; without `force` it is not replaced."""
    from counterpoise.base import InputError

    if file.is_file() and not force:
        raise InputError(f"{file}: exists; choose another --out or give --force")


def not_replacing(file: Path, own: Mapping[str, Any], *, force: bool) -> None:
    """Raises InputError where `file` holds the result of another command: `own` is what it would say of this one, and
    must be the same there. The same command again goes on, or writes the same.

    Call it before the work, as `check_writable`.
    """
    import json

    from counterpoise.base import InputError, read_json

    if force or not file.is_file():
        return
    kept = read_json(file)
    for name, value in json.loads(json.dumps(own)).items():
        there = kept.get(name) if isinstance(kept, dict) else None
        if there == value:
            continue
        if isinstance(there, dict) and isinstance(value, dict):
            name, there, value = next(
                (each, there.get(each), value.get(each)) for each in {**there, **value}
                if there.get(each) != value.get(each)
            )  # fmt: skip
        raise InputError(
            f"{file}: holds the result of another run ({name}: {_short(there)}; here: {_short(value)}); choose another "
            "--out, or give --force to replace it"
        )


def _short(value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(str(each.get("name", each)) if isinstance(each, dict) else str(each) for each in value)
    text = "none" if value in (None, "") else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
