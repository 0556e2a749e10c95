"""The registry of methods. A third party adds one through an entry point of the group `counterpoise.methods`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from counterpoise.base import InputError

from ._knobs import Knob, Size
from ._outcome import AlignResult
from ._settings import fields, resolve
from ._sources import Overlaps

GROUP = "counterpoise.methods"


class Align(Protocol):
    """`align(loaded, config, out)`: train, write an artifact and `out/run.json`; `overlaps` says which rows to leave
    out. A method may take more, with defaults."""

    def __call__(
        self, loaded: Any, config: Any, out: Path, *, resume: bool = True, overlaps: Overlaps | None = None
    ) -> AlignResult: ...


A = TypeVar("A", bound=Align)


@dataclass(frozen=True)
class Method:
    """One published method: what `counterpoise list methods` shows and `counterpoise align` runs."""

    name: str
    title: str
    paper: str
    source: str
    """Where the reference code is."""
    licence: str
    """Licence of the reference code; ours is written from the paper."""
    config_class: type[BaseModel]
    align: Align
    knobs: tuple[Knob, ...] = ()
    """What a dose search turns: the first is bisected, the others are lowered afterwards."""
    size: Callable[[Any], Size] | None = None
    """How much work a training with these settings is; None: the method does not say."""
    load: "Callable[..., Any] | None" = None
    """Loads what it works on from a name; None: `counterpoise.models.load`, a chat model."""
    description: str = ""

    def config(self, model_folder: str | Path | None = None, **overrides: Any) -> Any:
        """The method's defaults, then those the model's folder names for small models, then `overrides`; see
        `resolve`."""
        return self.resolve(model_folder, overrides)

    def resolve(
        self, model_folder: str | Path | None, settings: Mapping[str, Any], dose: Mapping[str, float] | None = None
    ) -> Any:
        """The config of these settings (nested, or by dotted name: `train.epochs`) and of a dose (by name of knob).

        Raises one InputError that lists every wrong setting, dose, and knob that the method has not.
        """
        chosen: dict[str, Any] = {}
        problems = []
        for name, value in (dose or {}).items():
            try:
                chosen |= self.knob(name).settings(value)
            except InputError as error:
                problems.append(str(error))
        return resolve(self.name, self.config_class, model_folder, settings, chosen, problems)

    def has(self, setting: str) -> bool:
        """Whether the method has a setting of this name, nested ones by dotted name and those of `train` by either."""
        return setting in (known := fields(self.config_class)) or f"train.{setting}" in known

    def knob(self, name: str) -> Knob:
        """The knob of this name. Raises InputError that lists those there are."""
        known = {knob.name: knob for knob in self.knobs}
        if name not in known:
            has = f"its knobs: {', '.join(known)}" if known else "it declares no knob"
            raise InputError(f"{name}: no such dose knob of {self.name}; {has}; --set reaches every setting")
        return known[name]

    def dose(self, config: Any) -> dict[str, float]:
        """The dose that a config holds, by name of knob."""
        return {knob.name: knob.check(knob.of(config)) for knob in self.knobs}


_METHODS: dict[str, Method] = {}
_loaded = False


def method(
    name: str,
    *,
    title: str,
    paper: str,
    source: str,
    licence: str,
    config: type[BaseModel],
    knobs: Sequence[Knob] = (),
    size: Callable[[Any], Size] | None = None,
    load: Callable[..., Any] | None = None,
) -> Callable[[A], A]:
    """Register a function with the signature of `Align` as a method; its docstring is the method's description."""

    def register(align: A) -> A:
        if name in _METHODS and _METHODS[name].align.__module__ != align.__module__:
            raise InputError(f"method {name!r} is registered twice; rename one of them")
        names = [knob.name for knob in knobs]
        if len(set(names)) < len(names):
            raise InputError(f"method {name!r}: two of its knobs are called {max(names, key=names.count)!r}")
        text = (align.__doc__ or "").strip()
        _METHODS[name] = Method(name, title, paper, source, licence, config, align, tuple(knobs), size, load, text)
        return align

    return register


def all_methods() -> dict[str, Method]:
    """All methods by name: ours and those of installed packages. A package that fails to import is reported."""
    global _loaded
    if not _loaded:
        _loaded = True
        for point in entry_points(group=GROUP):
            try:
                point.load()
            except Exception as error:
                _loaded = False
                raise InputError(
                    f"method {point.name!r} of {point.value}: cannot be imported ({error}); repair or uninstall it"
                ) from error
    return dict(sorted(_METHODS.items()))


def get(name: str) -> Method:
    """The method of this name. Raises InputError that names the nearest one and lists the others."""
    known = all_methods()
    if name not in known:
        raise InputError.unknown("method", name, known)
    return known[name]
