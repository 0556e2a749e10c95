"""How a router is trained; the defaults are the paper's."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from counterpoise.base import InputError


class RouterConfig(BaseModel):
    """Settings of `train_route` (Lee et al. 2025, section 4 and appendix)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    head: Literal["bayes", "dropout", "ensemble"] = "bayes"
    """bayes: the paper's Bayesian layers. dropout: a plain network with dropout. ensemble: several plain networks."""
    hidden: int = Field(default=512, ge=1)
    """Width of the two hidden layers."""
    epochs: int = Field(default=1000, ge=1)
    """Passes over the rows; the last checkpoint is kept."""
    batch_size: int = Field(default=512, ge=1)
    """Rows a step, drawn with replacement so that both classes are equally frequent."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of AdamW's learning rate, which falls linearly to 0."""
    warmup: int = Field(default=100, ge=0)
    """Steps in which the learning rate rises."""
    kl_weight: float = Field(default=0.01, ge=0)
    """Weight of the mean KL divergence between posterior and prior (bayes)."""
    prior_sigma: float = Field(default=0.1, gt=0)
    """Standard deviation of the Gaussian prior, whose mean is 0 (bayes)."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of the hidden units (dropout)."""
    members: int = Field(default=5, ge=2)
    """Networks whose probabilities are averaged (ensemble)."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the groups that is split off before any augmentation: for the threshold and for honest numbers."""
    rounds: int = Field(default=7, ge=0)
    """Paraphrases of each training row; both guards are run on every one."""
    seed: int = 0
    """Of the split, the sampler, the initial weights and the paraphrases."""


def router_config(**values: Any) -> RouterConfig:
    """Settings from options. Raises InputError with every wrong one in one line."""
    try:
        return RouterConfig(**values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"router: {wrong}") from error
