"""The situations as they are stored, and the items that they unfold into."""

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from counterpoise.base import InputError, read_yaml
from counterpoise.data._leakage import normalise

PairSplit = Literal["train", "validation", "test"]
CATEGORIES = ("violence", "illegal_activity", "privacy", "self_harm", "hate", "dangerous_substances")
"""Five of the six categories of MIS; dangerous substances stand where MIS has erotic content."""
PER_SIDE = 16
"""Items of a situation in the finite set: so many harmful ones and as many safe twins."""
PRINT = "~"
_FILE = Path(__file__).with_name("situations.yaml")


class Situation(BaseModel):
    """Two things that are risky together, and what makes them harmless. Names are icons; `~words` are printed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    category: str
    split: PairSplit
    """Fixed for good, so that no question and no pair of a test situation is ever trained on."""
    risky: tuple[str, ...] = Field(min_length=2)
    where: tuple[str, ...] = Field(min_length=2)
    harmless: tuple[str, ...] = Field(min_length=2)
    """In place of a risky thing: the same question is harmless."""
    calm: tuple[str, ...] = ()
    """In place of a `where`: the same risky thing is harmless there."""
    ask: tuple[str, ...] = Field(min_length=2)
    """Wordings of the question; {r} and {w} say which picture ("first", "second") shows which of the two."""
    because: str
    """Why it is risky, as a clause."""
    rather: str
    """What to do instead, as an imperative."""
    fine: str
    """Why the twin is harmless, as a clause."""
    help: str
    """What helps with the twin, as an imperative."""


@dataclass(frozen=True)
class Item:
    """One pair of things in one situation, and its safe twin, in which exactly one of the two is another."""

    situation: Situation
    number: int
    risky: str
    where: str
    twin: tuple[str, str]
    """(thing, place) of the safe twin."""
    question: int
    """Which wording; the twin has the same."""
    swapped: bool
    """The place stands in the first picture."""

    @property
    def id(self) -> str:
        return f"{self.situation.id}-{self.number:02d}"

    def things(self, *, harmful: bool) -> tuple[str, str]:
        """(thing, place), whatever order the pictures have."""
        return (self.risky, self.where) if harmful else self.twin


@lru_cache(maxsize=1)
def _all() -> tuple[Situation, ...]:
    found = []
    for number, value in enumerate(read_yaml(_FILE), 1):
        try:
            found.append(Situation.model_validate(value))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError.at(_FILE, first["msg"], row=number, field=".".join(map(str, first["loc"]))) from error
    check_disjoint(found)
    return tuple(found)


def situations(split: PairSplit | None = None) -> list[Situation]:
    """All situations, or those of one split, in the order of the file. Raises InputError for a broken file, and when
    two splits share a question or a pair."""
    return [each for each in _all() if split is None or each.split == split]


def check_disjoint(found: list[Situation]) -> None:
    """No id twice, no question and no pair of things (in either order, risky or safe) in two splits. Raises InputError
    naming the first one that is."""
    doubled = [name for name, n in Counter(each.id for each in found).items() if n > 1]
    if doubled:
        raise InputError(f"{_FILE}: situation {doubled[0]}: occurs twice")
    seen: dict[object, Situation] = {}
    for each in found:
        things = (*each.risky, *each.harmless)
        pairs: set[object] = {frozenset(pair) for pair in itertools.product(things, each.where)}
        pairs |= {frozenset(pair) for pair in itertools.product(each.risky, each.calm)}
        pairs |= {normalise(text) for text in each.ask}
        for key in pairs:
            other = seen.setdefault(key, each)
            if other.split != each.split:
                shown = key if isinstance(key, str) else " and ".join(sorted(key))  # type: ignore[call-overload]
                raise InputError(f"{_FILE}: {shown!r} is in {other.id} ({other.split}) and {each.id} ({each.split})")


def items(situation: Situation, seed: int | str = 0) -> Iterator[Item]:
    """An endless stream of a situation's items: every pair of things in random order, then all again with another
    wording, order and twin. The first `PER_SIDE` of seed 0 are the finite set."""
    number = 0
    for turn in itertools.count():
        rng = random.Random(f"pairs {situation.id} {seed} {turn}")
        pairs = list(itertools.product(situation.risky, situation.where))
        rng.shuffle(pairs)
        for thing, place in pairs:
            calm = bool(situation.calm) and rng.random() < 0.5
            twin = (thing, rng.choice(situation.calm)) if calm else (rng.choice(situation.harmless), place)
            question = (number + turn) % len(situation.ask)
            yield Item(situation, number, thing, place, twin, question, rng.random() < 0.5)
            number += 1
