"""A method's settings: from its defaults, the model's folder, a YAML file and `key=value`, to one checked config.

Names are dotted where settings are nested (`train.learning_rate`); those of `train` may be given without the prefix.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from counterpoise.base import InputError, check_values, load_yaml, parse_json, read_json, read_yaml

PRESETS = "counterpoise.json"
"""File of a model's folder; its key `align_defaults` holds settings of any method that suit the model."""
METHOD_PRESETS = "align"
"""Folder in a model's folder; its file `METHOD.yaml` holds settings of that method, as `--config` takes them."""


def given_settings(
    file: Path | None = None,
    pairs: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    config_class: type[BaseModel] | None = None,
) -> dict[str, Any]:
    """Settings of a YAML file, and above them those of `key=value` pairs and of other `options`, by dotted name.

    With the method's `config_class` a name wins over the file's whether `train.` is left out or not. A value is read as
    JSON (`1e-4`, `true`, `null`, `[1, 2]`, `"text"`), as a YAML list or mapping when it opens with a bracket, and else
    as the text it is. Raises one InputError naming every pair without `=`, every name given twice, by pairs or by a
    pair and an option, and a file that is no mapping.
    """
    known = fields(config_class) if config_class else {}
    found: dict[str, Any] = {}
    problems, seen = [], set[str]()
    if file is not None:
        try:
            found = _from_file(file)
        except InputError as error:
            problems.append(str(error))
    above: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            problems.append(f"--set: {pair!r} is not key=value")
            continue
        if name in seen:
            problems.append(f"--set: {name} is given twice")
        elif name in (options or {}):
            problems.append(f"{name} is given twice: by --set and by the option for it")
        seen.add(name)
        try:
            above[name] = _value(name, text.strip())
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("; ".join(problems))
    above |= options or {}
    names = [_place(name, known) or name for name in (*above, *dict(_flat(above)))]
    hidden = {name for name in names if not known.get(name)}  # one that holds settings hides only those it names
    return {name: value for name, value in found.items() if not _hidden(_place(name, known) or name, hidden)} | above


def _hidden(name: str, above: set[str]) -> bool:
    """Whether a name, or one that it is part of, is among those above."""
    parts = name.split(".")
    return any(".".join(parts[:i]) in above for i in range(1, len(parts) + 1))


def _from_file(file: Path) -> dict[str, Any]:
    value = read_yaml(file)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{file}: expected settings such as `learning_rate: 1e-4`, got {type(value).__name__}")
    return dict(_flat({str(name): each for name, each in value.items()}))


def _value(name: str, text: str) -> Any:
    where = f"--set {name}"
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = load_yaml(text, where) if text.startswith(("[", "{")) else text
    except (ValueError, RecursionError):  # which is said in words of ours
        value = parse_json(text, where)
    check_values(value, where, numbers=True)
    return value


def align_defaults(folder: str | Path | None) -> dict[str, Any]:
    """What the model's folder names under `align_defaults`; {} when it names nothing."""
    if folder is None or not (Path(folder) / PRESETS).is_file():
        return {}
    file = Path(folder) / PRESETS
    value = read_json(file)
    found = value.get("align_defaults", {}) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise InputError(f'{file}: expected an object with an object "align_defaults"')
    return found


def method_defaults(folder: str | Path | None, method: str) -> dict[str, Any]:
    """What the model's folder names for one method, in `align/METHOD.yaml`; {} when it has no such file."""
    file = Path(folder) / METHOD_PRESETS / f"{method}.yaml" if folder is not None else None
    return _from_file(file) if file is not None and file.is_file() else {}


def resolve(
    method: str,
    config_class: type[BaseModel],
    folder: str | Path | None,
    overrides: Mapping[str, Any],
    dose: Mapping[str, Any],
    earlier: Sequence[str] = (),
) -> BaseModel:
    """A method's config from its defaults, the model's, the model's for this method, the user's settings and those of a
    dose, later ones winning.

    Settings of the model that another method has and this one has not are skipped, but not those in the method's own
    file. Raises one InputError for all that is wrong with the user's: unknown names with the nearest one, wrong types,
    values out of range, settings that the dose sets too, and `earlier` problems.
    """
    known = fields(config_class)
    values = nested_defaults(config_class)
    for name, value in _flat(align_defaults(folder)):
        if (place := _place(name, known)) is not None:
            _put(values, place, value)
    problems = list(earlier)
    for name, value in method_defaults(folder, method).items():
        if (place := _place(name, known)) is not None:
            _put(values, place, value)
        else:
            problems.append(f"{Path(str(folder)) / METHOD_PRESETS / method}.yaml: {_unknown(name, known)}")
    given: dict[str, Any] = {}
    for name, value in _flat(overrides):
        place = _place(name, known)
        if place is None:
            problems.append(_unknown(name, known))
        elif place in given:
            problems.append(f"{place}: given twice, once as {name}")
        elif known.get(place) and not isinstance(value, Mapping):
            problems.append(f"{place}: holds settings, not a value; write for example {place}.{known[place][0]}")
        elif not known.get(place):
            given[place] = value
    chosen = {_place(name, known) or name: value for name, value in dose.items()}
    problems += [f"{name}: set twice, as a setting and by the dose; leave one out" for name in given if name in chosen]
    for place, value in (given | chosen).items():
        _put(values, place, value)
    try:
        config = config_class.model_validate(values)
        numbers = [(name, value) for name, value in _flat(config.model_dump()) if isinstance(value, float)]
        problems += [f"{name}: {value} is not finite" for name, value in numbers if not isfinite(value)]
    except ValidationError as error:
        problems += [_plain(each) for each in error.errors()]
    if problems:
        raise InputError(f"{method}: {'; '.join(problems)}")
    return config


def changed(config: BaseModel) -> dict[str, Any]:
    """The settings, by dotted name, in which a config differs from its method's defaults; ready for JSON."""
    kind = type(config)
    plain = dict(_flat(nested_defaults(kind)))
    for name, info in kind.model_fields.items():
        if not _below(info.annotation):
            plain[name] = info.get_default(call_default_factory=True)
    python, written = dict(_flat(config.model_dump())), dict(_flat(config.model_dump(mode="json")))
    return {name: written.get(name) for name, value in python.items() if name not in plain or plain[name] != value}


def fields(config_class: type[BaseModel], prefix: str = "") -> dict[str, tuple[str, ...]]:
    """Every setting by dotted name; for one that holds settings, the names of those, else ()."""
    result: dict[str, tuple[str, ...]] = {}
    for name, info in config_class.model_fields.items():
        below = _below(info.annotation)
        result[prefix + name] = tuple(below.model_fields) if below else ()
        if below:
            result |= fields(below, f"{prefix}{name}.")
    return result


def nested_defaults(config_class: type[BaseModel]) -> dict[str, Any]:
    """Defaults of the fields that hold settings, as a method states them: they may differ from their class's own."""
    result = {}
    for name, info in config_class.model_fields.items():
        default = info.get_default(call_default_factory=True) if _below(info.annotation) else None
        if isinstance(default, BaseModel):
            result[name] = default.model_dump()
    return result


def _below(annotation: Any) -> type[BaseModel] | None:
    """The class of settings that a field holds (also an optional one)."""
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    return next((kind for kind in kinds if issubclass(kind, BaseModel)), None)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value); an empty mapping is a value."""
    for name, value in values.items():
        inner = value.model_dump() if isinstance(value, BaseModel) else value
        if isinstance(inner, Mapping) and inner:
            yield from _flat({str(key): each for key, each in inner.items()}, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _place(name: str, known: Mapping[str, tuple[str, ...]]) -> str | None:
    """The full name of a setting: settings of `train` may be given without the prefix. What follows the name of a
    setting that holds none itself is a key of its value (`weights.a`)."""
    for place in (name, f"train.{name}"):
        parts = place.split(".")
        heads = (".".join(parts[:i]) for i in range(1, len(parts)))
        if place in known or any(known.get(head) == () for head in heads):
            return place
    return None


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    short = {place.removeprefix("train."): place for place in known}
    near = get_close_matches(name, [*known, *short], n=1)
    hint = f"did you mean {near[0]}?" if near else f"settings: {', '.join(n for n in known if '.' not in n)}"
    return f"{name}: no such setting; {hint}"


def _put(values: dict[str, Any], place: str, value: Any) -> None:
    *path, last = place.split(".")
    for part in path:
        below = values.get(part)
        values[part] = values = dict(below) if isinstance(below, Mapping) else {}
    values[last] = value


def _plain(each: Any) -> str:
    place = ".".join(map(str, each["loc"])) or "settings"
    got = f" (got {each['input']!r})" if isinstance(each["input"], str | int | float | bool | None) else ""
    return f"{place}: {each['msg'].removeprefix('Value error, ')}{got}"
