"""Guards by name. A third party adds one through the entry point group `counterpoise.guards`."""

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from counterpoise.base import InputError

from ._values import Guard

GROUP = "counterpoise.guards"

_MAKERS: dict[str, tuple[str, str, str]] = {
    # name -> (module below counterpoise.guard, function, what it is); filled by the rooms of the guards
}


def known_guards() -> dict[str, str]:
    """Name -> one line about it, those of other packages included."""
    own = {name: about for name, (_, _, about) in _MAKERS.items()}
    return own | {point.name: f"from {point.value}" for point in entry_points(group=GROUP)}


def make_guard(spec: str, **options: Any) -> Guard:
    """A guard from `name` or `name:detail` (a model id or a folder); options go to its maker.

    Raises InputError for a name that nobody knows.
    """
    name, _, detail = spec.partition(":")
    if detail:
        options["detail"] = detail
    maker: Callable[..., Guard]
    if name in _MAKERS:
        module, function, _ = _MAKERS[name]
        maker = getattr(importlib.import_module(f"counterpoise.guard.{module}"), function)
    else:
        points = {point.name: point for point in entry_points(group=GROUP)}
        if name not in points:
            raise InputError.unknown("guard", name, known_guards())
        maker = points[name].load()
    return maker(**options)
