"""One pass on its way through a model, and the tokens that its verdict begins with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from counterpoise.base import InputError
from counterpoise.models import EncodedRow, Loaded, Look, Prompt

from .._values import Features
from ._family import Family
from ._parse import Mode, Said
from ._passes import Pass


@dataclass
class Asked:
    """One pass on its way: what is shown, and what came of it."""

    shown: Pass
    category: str = ""
    """Of the policy that it asks about, where it asks about one."""
    prompt: Prompt | None = None
    row: EncodedRow | None = None
    reason: str | None = None
    """Why it could not be asked."""
    p: float | None = None
    mass: float | None = None
    controversial: float = 0.0
    features: Features | None = None
    raw: str = ""
    """Its reply, without what it thought before."""
    reasoning: str = ""
    said: Said | None = None
    off: str | None = None
    """How its reply is off the grammar."""


def verdict_tokens(loaded: Loaded, family: Family, mode: Mode) -> list[list[int]]:
    """Ids of the verdict's first tokens: safe, unsafe, controversial."""
    prefix = family.prefix[mode]
    lead = family.anchor if prefix is None else prefix
    words = (family.safe, family.unsafe, family.controversial)
    found = [first_tokens(loaded.tokenizer, lead, side) for side in words]
    others = [found[1] | found[2], found[0] | found[2], found[0] | found[1]]
    sides = [own - other for own, other in zip(found, others, strict=True)]
    if not sides[0] or not sides[1]:
        raise InputError(f"{loaded.name}: its tokenizer begins {words[0][0]!r} and {words[1][0]!r} with the same token")
    return [sorted(side) for side in sides]


def first_tokens(tokenizer: Any, lead: str, words: Sequence[str]) -> set[int]:
    """First token of each word, by itself and after `lead`."""

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    found, before = set(), ids(lead) if lead else []
    for word in words:
        after = ids(lead + word)
        if lead and after[: len(before)] == before and len(after) > len(before):
            found.add(after[len(before)])
        if alone := ids(word):
            found.add(alone[0])
    return found


def sums(look: Look, n_safe: int, n_unsafe: int) -> tuple[float, float, float]:
    p = [math.exp(value) for value in look.logprobs]
    return sum(p[:n_safe]), sum(p[n_safe : n_safe + n_unsafe]), sum(p[n_safe + n_unsafe :])
