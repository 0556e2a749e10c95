"""Limits that a command line is given, such as `asr_increase[code,print]>5%`: one way to write them everywhere."""

import re
from typing import NamedTuple

from ._errors import InputError

_LIMIT = re.compile(r"([a-z_]+)(?:\[([^\[\]]*)\])?\s*>\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)")


class Limit(NamedTuple):
    """What a gate fails above. Whether there is such a quantity, and what bounds it may have, its reader knows."""

    name: str
    inside: str | None
    """What stands in brackets behind the name; None without brackets."""
    bound: float


def read_limit(text: str, example: str, *, brackets: bool = False) -> Limit:
    """`name>0.05` or `name>5%`, with `brackets` also `name[words]>5%`. Raises InputError for anything else, with the
    example."""
    match = _LIMIT.fullmatch(text.strip())
    if match is None or (match[2] is not None and not brackets):
        raise InputError(f"--fail-on: cannot read {text!r}; write for example {example}")
    return Limit(match[1], match[2], float(match[3]) / (100 if match[4] else 1))
