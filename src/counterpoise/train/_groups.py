"""What is trained, as a plan of parameter groups: plain values that a config, a YAML file and `run.json` can hold."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Group(BaseModel):
    """What every group can set for itself; what is left out comes from `TrainConfig`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    learning_rate: float | None = Field(default=None, gt=0)
    """Highest learning rate of this group; the schedule is the run's."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Decoupled weight decay of this group."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type in which the trained values are held and updated. With bfloat16, an update below 1/256 of a value is
    lost: at a learning rate of 2e-5 that is almost every one."""


class Lora(_Group):
    """LoRA factors under a name of their own. Several of them, the roles, share one backbone (see `Trainable`)."""

    kind: Literal["lora"] = "lora"
    name: str = Field(default="default", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """The role, which `Trainable.using(name)` makes active."""
    rank: int = Field(default=128, ge=1)
    alpha: float = Field(default=256, gt=0)
    """The update is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the input of the factors."""
    targets: tuple[str, ...] = ()
    """Full paths of the linear layers; none means all of the language model."""
    # left out of records while it is not set: a plan that does not use it is the plan it was
    layers_from: int = Field(default=0, ge=0, exclude_if=lambda value: value == 0)
    """Factors only on the language model's blocks from this one on, counted from 0. The backward pass ends there, and
    what lies below is computed once for all roles that leave it alone (see `trunk_cache_mb`)."""
    start: Path | None = None
    """An adapter folder whose factors are the start; rank, alpha and targets are then that adapter's."""
    frozen: bool = False
    """Used but not trained: a reward model beside the policy that is trained on it."""


class Projector(_Group):
    """The modules between vision encoder and language model, in full."""

    kind: Literal["projector"] = "projector"
    role: str | None = None
    """The LoRA group whose adapter carries the trained copy; the plan's first one when it is not named."""


class Layers(_Group):
    """Whole modules by path, trained in full."""

    kind: Literal["layers"] = "layers"
    modules: tuple[str, ...] = Field(min_length=1)
    """Full module paths, such as "model.language_model.layers.3"; "language_model" stands for the language model, "all"
    for everything."""
    role: str | None = None
    """As in `Projector`."""


class Head(_Group):
    """A linear layer on the last hidden states, with `outputs` numbers a token: reward, cost, value."""

    kind: Literal["head"] = "head"
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    outputs: int = Field(default=1, ge=1)
    start: Path | None = None
    """An adapter or weights folder that holds a head of this name."""
    frozen: bool = False


Group = Annotated[Lora | Projector | Layers | Head, Field(discriminator="kind")]
