"""From a method's knobs and what the user asked for to the grids of a dose search."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from counterpoise.base import InputError
from counterpoise.methods import Knob, Method, get

from ._config import RunConfig
from ._search import Grid
from ._stages import settings
from ._target import parse_target


def check(config: RunConfig) -> Method:
    """The run's method. Raises InputError for whatever can be seen to be wrong without the model: settings, doses and
    grids that the method does not take, a target that is no target, and one for a method that has nothing to search."""
    method = get(config.method)
    for name in config.grids:
        method.knob(name)
        if name in config.dose:
            raise InputError(f"{name} has a grid and a dose; give one of them")
    if config.target is None:
        if config.grids:
            raise InputError(f"--grid {next(iter(config.grids))}: only a search with --target needs a grid")
        _check_files(method, settings(config, config.dose, None))
        return method
    parse_target(config.target)
    if not method.knobs:
        raise InputError(
            f"{method.name} declares no dose knob, so --target has nothing to search; run it without --target "
            "(--set changes its settings)"
        )
    first = method.knobs[0].name
    if first in config.dose:
        raise InputError(f"{first} is given and --target searches it; leave out one of them, or give a --grid")
    tried = [{knob.name: value} for knob in method.knobs for value in _values(config, knob, config.dose, None)]
    for dose in tried or [{}]:
        resolved = settings(config, config.dose | dose, None)
    _check_files(method, resolved)
    return method


def _check_files(method: Method, resolved: Any) -> None:
    """Raises InputError for the files and folders among the settings that do not exist."""
    missing = [f"{name}: {path}: no such file or folder" for name, path in _paths(resolved) if not path.exists()]
    if missing:
        raise InputError(f"{method.name}: {'; '.join(missing)}")


def _paths(value: Any, name: str = "") -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield name, value
    elif isinstance(value, BaseModel):
        for key in type(value).model_fields:
            yield from _paths(getattr(value, key), f"{name}.{key}".lstrip("."))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _paths(each, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _paths(each, name)


def grids(config: RunConfig, method: Method, resolved: Any) -> tuple[Grid, ...]:
    """One grid per knob, from the weakest dose to the strongest: the user's, else the method's, else the one value of
    the `resolved` settings."""
    found = []
    for knob in method.knobs:
        values = [knob.check(value) for value in _values(config, knob, config.dose, resolved)]
        found.append(Grid(knob.scale, tuple(sorted(values, key=knob.key))))
    return tuple(found)


def _values(config: RunConfig, knob: Knob, dose: Mapping[str, float], resolved: Any) -> tuple[float, ...]:
    if knob.name in dose:
        return (dose[knob.name],)
    return config.grids.get(knob.name) or knob.grid or ((knob.of(resolved),) if resolved is not None else ())
