"""The two sizes of the study: `tiny` for two CPU cores, `paper` with the numbers of the paper."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from counterpoise.base import InputError


class Size(BaseModel):
    """Everything that a study depends on. Its defaults are the paper's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "paper"
    seed: int = 0
    """Of grammar, operators, data, models and batches; PCFG k adds 150 (k - 1) for its operators."""
    pcfgs: tuple[int, ...] = (1, 2, 3, 4)
    letters: int = 30
    levels: int = 3
    """Tables below the grammar's branches; a symbol there stands for 3 ** levels letters."""
    text_min: int = 25
    text_max: int = 35
    length: int = 160
    """Tokens of a sequence."""
    layers: int = 6
    heads: int = 6
    width: int = 192
    pretrain_rows: int = 1_000_000
    """Per PCFG; `tune_rows` and `test_rows` too, for each set."""
    tune_rows: int = 750_000
    test_rows: int = 100_000
    batch: int = 512
    pretrain_steps: int = 100_000
    pretrain_warmup: int = 20_000
    pretrain_decay: int = 80_000
    """Step at which the cosine has come down to the least rate."""
    pretrain_rate: float = 1e-3
    curriculum: tuple[tuple[float, float], ...] = ((0.5, 0.1), (0.1, 0.2), (0.2, 0.3), (0.2, 0.4))
    """Of pre-training's views, at the start and at the end: text only, full, output 1 only, output 2 only."""
    tune_steps: int = 10_000
    tune_warmup: int = 2_000
    tune_decay: int = 8_000
    medium_rate: float = 1e-4
    small_rate: float = 1e-5
    positions: int = 10
    """First output positions over which activations are averaged."""
    analysis_rows: int = 1_000
    """Rows of each set that the analyses and attacks read."""
    soft_rows: int = 200
    """Rows of the soft-token attack."""
    save_every: int = 1_000
    """Steps between checkpoints."""

    @model_validator(mode="after")
    def _fits(self) -> "Size":
        if self.length < 10 + 3 * self.text_max:
            raise ValueError(f"length {self.length}: texts of {self.text_max} letters need {10 + 3 * self.text_max}")
        if len(self.curriculum) != 4 or any(sum(column) <= 0 for column in zip(*self.curriculum, strict=True)):
            raise ValueError("curriculum: four views, each with a probability at the start and at the end")
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width}: must be a multiple of twice the {self.heads} heads")
        return self


TINY: dict[str, Any] = {
    "name": "tiny", "pcfgs": (1,), "letters": 10, "levels": 1, "text_min": 8, "text_max": 8, "length": 34,
    "layers": 3, "heads": 4, "width": 64, "pretrain_rows": 50_000, "tune_rows": 20_000, "test_rows": 1_000,
    "batch": 64, "pretrain_steps": 5_000, "pretrain_warmup": 200, "pretrain_decay": 4_900, "pretrain_rate": 2e-3,
    "curriculum": ((0.05, 0.05), (0.65, 0.65), (0.15, 0.15), (0.15, 0.15)),
    "tune_steps": 600, "tune_warmup": 60, "tune_decay": 540, "medium_rate": 1e-3, "small_rate": 1e-4,
    "positions": 4, "analysis_rows": 500, "soft_rows": 100, "save_every": 100,
}  # fmt: skip
"""One PCFG, ten letters, texts of eight. Two thirds of pre-training's steps show a whole row: the paper's views
train on a quarter of its tokens, and two cores have no time for that."""


def size(name: str, **changes: Any) -> Size:
    """A named size, with single numbers changed. Raises InputError for an unknown name."""
    if name not in ("tiny", "paper"):
        raise InputError.unknown("size", name, ("tiny", "paper"))
    return Size(**{**(TINY if name == "tiny" else {}), **changes})
