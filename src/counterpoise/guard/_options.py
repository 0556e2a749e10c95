"""Options of guards by name, as a command line or a file gives them: NAME=VALUE, checked before a guard is made."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from counterpoise.base import InputError

_LAX = ConfigDict(coerce_numbers_to_str=True, arbitrary_types_allowed=True)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def checked_options(name: str, maker: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a guard's maker, in the kinds that it is annotated with: `revision=123` becomes text.

    Raises InputError for an option that it does not know, lacks, or that is of another kind. A maker that hands options
    on (`**options`) checks those itself.
    """
    signature = inspect.signature(maker)
    made = maker.func if isinstance(maker, partial) else maker
    given = set(inspect.signature(made).parameters) - set(signature.parameters)  # with which a partial was made
    named = [each for each, one in signature.parameters.items() if one.kind in _NAMED]
    handed_on = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
    for option in options:
        if option in named or (handed_on and option not in given):
            continue
        known = [each for each in named if each != "detail"]
        if option == "detail":
            raise InputError(f"guard {name}: takes nothing behind a colon (got {options[option]!r})")
        if not known:
            raise InputError(f"guard {name}: takes no options (got {option})")
        raise InputError.unknown(f"option of guard {name}", option, known)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise InputError(f"guard {name}: {error}") from error
    try:
        kinds = get_type_hints(made.__init__ if inspect.isclass(made) else made)
    except NameError:  # annotated with what is imported for type checkers only
        return dict(options)
    where = f"guard {name}: option"
    return {each: _of_kind(f"{where} {each}", value, kinds.get(each, Any)) for each, value in options.items()}


def _of_kind(where: str, value: Any, kind: Any) -> Any:
    """A plain value as the kind that is annotated; anything else was made by a program, and is as it is."""
    if not isinstance(value, str | int | float | list | dict):
        return value
    try:
        return TypeAdapter(kind, config=_LAX).validate_python(value)
    except PydanticUserError:  # a class that pydantic cannot make
        return value
    except ValidationError as error:
        raise InputError(f"{where}: {value!r}: {error.errors()[0]['msg']}") from error
