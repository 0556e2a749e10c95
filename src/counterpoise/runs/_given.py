"""From what a command line says to a checked RunConfig, with all that is wrong in one error."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from counterpoise.base import InputError
from counterpoise.methods import get, given_settings

from ._config import RunConfig, given_doses, given_grids, run_config, source_settings
from ._grids import check

T = TypeVar("T")


def given_config(
    method: str,
    *,
    file: Path | None = None,
    pairs: Sequence[str] = (),
    sources: tuple[Path | None, Path | None, Path | None, int | None] = (None, None, None, None),
    doses: Sequence[str] = (),
    named: Mapping[str, float | None] | None = None,
    grids: Sequence[str] = (),
    **fields: Any,
) -> RunConfig:
    """The config of `--config`, `--set`, source options, `--dose` (and its `named` short forms), `--grid` and fields.

    Raises one InputError for all that is wrong with any of them and with the config that they make; see `check`.
    """
    problems: list[str] = []

    def read(make: Callable[[], T], otherwise: T) -> T:
        try:
            return make()
        except InputError as error:
            problems.append(str(error))
            return otherwise

    options: dict[str, Any] = read(lambda: source_settings(*sources), _none())
    chosen = read(lambda: get(method), None)
    kind = chosen.config_class if chosen else None
    whole = [pair for pair in pairs if pair.partition("=")[0].strip() and "=" in pair]
    given = read(lambda: given_settings(file, pairs, options, kind), None)
    if given is None:  # what can be read is checked all the same
        given = _or(lambda: given_settings(None, whole, None, kind), _none())
    no_dose: dict[str, float] = {}
    no_grid: dict[str, tuple[float, ...]] = {}
    dose = read(lambda: given_doses(doses, **(named or {})), no_dose)
    grid = read(lambda: given_grids(grids), no_grid)
    config = read(lambda: run_config(given, method=method, dose=dose, grids=grid, **fields), None)
    seen = config or _or(lambda: run_config(given, method=method, dose=dose, grids=grid), None)
    if seen is not None and chosen is not None:
        read(lambda: check(seen), chosen)
    if problems or config is None:
        raise InputError("; ".join(problems))
    return config


def _none() -> dict[str, Any]:
    return {}


def _or(make: Callable[[], T], otherwise: T) -> T:
    try:
        return make()
    except InputError:
        return otherwise
