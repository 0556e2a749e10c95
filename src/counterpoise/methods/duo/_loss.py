"""The loss of DUO (Park et al., NeurIPS 2024, arXiv 2407.21035): a pure function of six predictions."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import logsigmoid

if TYPE_CHECKING:
    from torch import Tensor

SATURATED = -10.0
"""Below this beta (delta+ - delta-) the sigmoid has no gradient left: forgetting has run away, or beta is too large."""


class Six(NamedTuple):
    """What the tuned and the frozen network predict, each (B, C, H, W): for the noisy safe picture, the noisy unsafe
    picture, and pure noise."""

    safe: "Tensor"
    unsafe: "Tensor"
    pure: "Tensor"
    frozen_safe: "Tensor"
    frozen_unsafe: "Tensor"
    frozen_pure: "Tensor"


class Terms(NamedTuple):
    """The loss and what it is made of, scalars; `logit` (B,) is -beta (delta+ - delta-), which the sigmoid takes."""

    loss: "Tensor"
    preference: "Tensor"
    prior: "Tensor"
    delta_safe: "Tensor"
    delta_unsafe: "Tensor"
    logit: "Tensor"


def duo_loss(six: Six, safe_target: "Tensor", unsafe_target: "Tensor", *, beta: float, weight: float) -> Terms:
    """L = L_DPO + weight L_prior for one batch of pairs.

    An error l is the *mean* squared difference of a prediction and its target over a picture's elements;
    delta = l_tuned - l_frozen; L_DPO = mean of -log sigmoid(-beta (delta+ - delta-)), + the safe and - the unsafe
    picture. L_prior is the mean squared difference of both networks' predictions for pure noise. At the frozen weights
    L_DPO is log 2 and L_prior 0. As the error on the unsafe picture grows the gradient vanishes: forgetting is bounded.
    """
    safe = _error(six.safe, safe_target) - _error(six.frozen_safe, safe_target)
    unsafe = _error(six.unsafe, unsafe_target) - _error(six.frozen_unsafe, unsafe_target)
    logit = -beta * (safe - unsafe)
    preference = -logsigmoid(logit).mean()
    prior = (six.pure - six.frozen_pure).square().mean()
    return Terms(preference + weight * prior, preference, prior, safe.mean(), unsafe.mean(), logit)


def ascent_loss(six: Six, unsafe_target: "Tensor") -> Terms:
    """The control: plain gradient ascent on the unsafe picture's error, which has no bound."""
    error = _error(six.unsafe, unsafe_target)
    zero = torch.zeros((), dtype=error.dtype)
    return Terms(-error.mean(), -error.mean(), zero, zero, error.mean(), error)


def _error(prediction: "Tensor", target: "Tensor") -> "Tensor":
    """Mean squared error of each picture, (B,)."""
    return (prediction.float() - target.float()).square().flatten(1).mean(dim=1)


def rates(base_rate: float, base_weight: float, beta: float) -> tuple[float, float]:
    """(learning rate, prior weight) at a beta: lr = base 100 / beta, weight = base beta / 100, so that a sweep over
    beta keeps steps comparable."""
    return base_rate * 100 / beta, base_weight * beta / 100
