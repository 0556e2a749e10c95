"""Options of guards on a command line, NAME=VALUE."""

from typing import Annotated, Any

import typer

Options = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="NAME=VALUE for the guard, such as dtype=bfloat16 or explain=no; repeatable."),
]


def options_of(given: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE pairs; numbers, true and false are read as such."""
    import json

    from counterpoise.base import InputError, check_values

    made: dict[str, Any] = {}
    for each in given or []:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--option {each}: write NAME=VALUE")
        try:
            made[name] = json.loads(value)
        except (ValueError, RecursionError):
            made[name] = value
        check_values(made[name], f"--option {name}", numbers=True)
    return made
