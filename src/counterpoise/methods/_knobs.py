"""What a method says of its dose and its size: the knobs a search may turn, and how much work one training is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, NamedTuple

from counterpoise.base import InputError

Unit = Literal["share", "rows", "number"]
"""`share`: 0 to 1, shown in per cent. `rows`: whole numbers. `number`: anything else."""
Direction = Literal["rising", "falling"]
"""Whether a larger value is a stronger dose (a share of refusals) or a weaker one (a penalty that holds the model)."""


@dataclass(frozen=True)
class Scale:
    """How a dose is measured: what reports, `dose.json` and messages need to know of a knob."""

    name: str
    """Its name on the command line and in `dose.json`."""
    label: str
    """Its axis in a picture, e.g. "rejection rows"."""
    unit: Unit = "number"
    direction: Direction = "rising"

    def say(self, value: float) -> str:
        """`20.0%`, `7,000 rows` or `0.1`."""
        if self.unit == "share":
            return f"{value:.1%}"
        return f"{value:,.0f} rows" if self.unit == "rows" else f"{value:g}"

    def key(self, value: float) -> float:
        """Orders values from the weakest dose to the strongest."""
        return value if self.direction == "rising" else -value

    def check(self, value: float) -> float:
        """The value as the knob takes it. Raises InputError for one that its unit does not allow."""
        wrong = not isfinite(value) or (self.unit == "share" and not 0 <= value <= 1)
        if wrong or (self.unit == "rows" and (value < 1 or value != int(value))):
            expected = {"share": "a share from 0 to 1", "rows": "a whole number from 1", "number": "a number"}
            raise InputError(f"{self.name}: {value:g} is not {expected[self.unit]}")
        return int(value) if self.unit == "rows" else float(value)


@dataclass(frozen=True)
class Knob(Scale):
    """A setting of a method that says how strongly it acts.

    The first knob of a method is the one that a search bisects, on the assumption (which it checks) that the attack
    success rate falls as the dose grows. Further knobs are lowered afterwards while all limits stay met.
    """

    grid: tuple[float, ...] = ()
    """Values that a search tries; empty: only the one in the method's settings, unless the user names others."""
    setting: str | Callable[[float], Mapping[str, Any]] = ""
    """The setting that takes the value (dotted, e.g. `train.epochs`; default: the knob's name), or a function from the
    value to settings."""
    current: Callable[[Any], float] | None = None
    """The value in a config; default: the field that `setting` names."""

    @property
    def scale(self) -> Scale:
        """The knob without its functions."""
        return Scale(self.name, self.label, self.unit, self.direction)

    def settings(self, value: float) -> dict[str, Any]:
        """The settings, by dotted name, of this dose."""
        value = self.check(value)
        return {self.setting or self.name: value} if isinstance(self.setting, str) else dict(self.setting(value))

    def of(self, config: Any) -> float:
        """The dose in a config of the method."""
        if self.current is not None:
            return self.current(config)
        if not isinstance(self.setting, str):
            raise TypeError(f"knob {self.name}: with a function as `setting` it needs `current`")
        value = config
        for part in (self.setting or self.name).split("."):
            value = getattr(value, part)
        return float(value)


PROMPT_TOKENS = 110
"""Of a short question with one image of 49 tokens and the chat template: for plans."""


class Size(NamedTuple):
    """How much work one training of a method is, for plans. Estimates from the settings alone; no row is read."""

    rows: int
    """Different training rows."""
    row_tokens: int
    """Tokens of one row as it goes through the model, prompt and reply (of a pair: both)."""
    epochs: float
    """Passes over the rows."""
    written: int = 0
    """Tokens the model itself generates at most while the data are built."""
    read: int = 0
    """Tokens that are read only, where nothing is trained."""

    @property
    def trained(self) -> int:
        """Tokens that go forward and backward, over all epochs."""
        return round(self.rows * self.row_tokens * self.epochs)
