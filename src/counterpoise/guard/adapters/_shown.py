"""What a guard is shown: passes of turns of parts, each part knowing which of the exchange it holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from counterpoise.chat import Image, Role

from ._family import IMAGE, Turns
from ._parse import Mode

OMITTED = "(not shown)"
"""Stands in a turn whose parts the guard cannot see, since templates want turns to alternate."""


@dataclass(frozen=True)
class Part:
    """A text as the guard will read it, or an image, and which parts of the exchange it holds."""

    value: str | Image
    keys: frozenset[int]


Shown = tuple[tuple[Role, tuple[Part, ...]], ...]
"""Turns as the guard will see them."""


@dataclass(frozen=True)
class Pass:
    """What one forward pass shows."""

    turns: Shown
    mode: Mode

    @property
    def keys(self) -> frozenset[int]:
        return frozenset(key for _, parts in self.turns for part in parts for key in part.keys)

    @property
    def texts(self) -> list[str]:
        return [part.value for _, parts in self.turns for part in parts if isinstance(part.value, str)]

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part.value for _, parts in self.turns for part in parts if isinstance(part.value, Image))

    def slots(self, marks: Sequence[str]) -> Turns:
        """The turns with `marks` in place of the texts, in order, and IMAGE in place of images."""
        left = iter(marks)
        return tuple(
            (role, tuple(IMAGE if isinstance(p.value, Image) else next(left) for p in parts))
            for role, parts in self.turns
        )
