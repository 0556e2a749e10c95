"""The cost model as a guard by itself: a cost becomes the probability that the reply is unsafe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from counterpoise.base import InputError, read_json
from counterpoise.chat import Conversation
from counterpoise.data import Severity

from ._measured import calibrated
from ._scores import COST, ScoreModel

HELD_OUT = "held_out.json"
"""What the stage measured; it has slope and offset."""


class Said(NamedTuple):
    """What a guard of replies says of one."""

    p_unsafe: float
    flagged: bool
    severity: Severity | None = None
    category: str = ""
    """The likeliest kind of harm of a flagged reply, where the guard tells them apart."""


class CostGuard:
    """A trained cost model on the engine. p_unsafe = sigmoid(slope cost + offset), fitted on held-out replies (Platt
    1999); without any it is sigmoid(cost). A reply is flagged when it is more likely unsafe than safe."""

    def __init__(self, model: ScoreModel, slope: float = 1.0, offset: float = 0.0):
        self.model, self.slope, self.offset = model, slope, offset
        self.loaded = model.loaded

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> "CostGuard":
        """From the folder of a `cost` stage, on the base that its adapter names. Raises InputError where there is none,
        or a card that is not ours."""
        from counterpoise.models import load

        folder = Path(folder)
        adapter = folder / "adapter" if (folder / "adapter").is_dir() else folder
        if not (adapter / "adapter_config.json").is_file():
            raise InputError(f"{folder}: holds no cost model; give the folder of a cost stage, such as runs/NAME/cost")
        model = ScoreModel(load(str(adapter), **options), adapter, COST)
        card = adapter.parent / HELD_OUT
        return cls(model, *_calibration(card, adapter)) if card.is_file() else cls(model)

    def rate(self, asked: Sequence[tuple[Conversation, str]]) -> list[Said]:
        """Of replies to conversations, in order."""
        p = calibrated(self.model.scores(asked), self.slope, self.offset)
        return [Said(float(value), bool(value > 0.5)) for value in p]


def _calibration(card: Path, adapter: Path) -> tuple[float, float]:
    """Slope and offset of what the stage measured on this adapter; (1, 0) where its replies were all of one kind."""
    from counterpoise.models import read_artifact

    found = read_json(card)
    try:
        own, platt = found["adapter"], found["metrics"]["platt"]
        slope, offset = map(float, platt or (1.0, 0.0))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f'{card}: expected "adapter" and metrics with "platt": [slope, offset]; run the cost stage again'
        ) from error
    if own != read_artifact(adapter).fingerprint:
        raise InputError(f"{card}: was measured on another adapter than {adapter}; run the cost stage again")
    return slope, offset
