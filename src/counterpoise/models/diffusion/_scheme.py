"""How noise is mixed into an image and what the network predicts: DDPM timesteps, or the noise levels of flow matching.

A `Scheme` names a noise level by a number `u` in (0, 1]: near 0 almost the clean image, 1 pure noise. Methods draw `u`
and never index a scheduler's tables, whose order differs between schedulers.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Scheme(ABC):
    """Mixing, target and time label of a batch. `u` is (B,), images and noise are (B, C, H, W)."""

    @abstractmethod
    def mix(self, x: "Tensor", noise: "Tensor", u: "Tensor") -> "Tensor":
        """The noisy image x_t."""

    @abstractmethod
    def target(self, x: "Tensor", noise: "Tensor", u: "Tensor") -> "Tensor":
        """What the network is trained to predict."""

    @abstractmethod
    def label(self, u: "Tensor") -> "Tensor":
        """The time that the network is told, (B,)."""

    def pure(self, n: int) -> "Tensor":
        """The level of pure noise, for a batch of n."""
        return torch.ones(n)


@dataclass(frozen=True)
class Discrete(Scheme):
    """DDPM with T timesteps: x_t = sqrt(a_t) x + sqrt(1 - a_t) noise; u is t = ceil(u T) - 1."""

    alphas: "Tensor"
    """(T,) cumulative products."""
    prediction: Literal["epsilon", "v_prediction"] = "epsilon"

    def step(self, u: "Tensor") -> "Tensor":
        """The timestep of a level, (B,) integers from 0."""
        return (torch.ceil(u * len(self.alphas)).long() - 1).clamp(0, len(self.alphas) - 1)

    def mix(self, x: "Tensor", noise: "Tensor", u: "Tensor") -> "Tensor":
        a = self._at(u, x)
        return a.sqrt() * x + (1 - a).sqrt() * noise

    def target(self, x: "Tensor", noise: "Tensor", u: "Tensor") -> "Tensor":
        if self.prediction == "epsilon":
            return noise
        a = self._at(u, x)
        return a.sqrt() * noise - (1 - a).sqrt() * x

    def label(self, u: "Tensor") -> "Tensor":
        return self.step(u)

    def _at(self, u: "Tensor", like: "Tensor") -> "Tensor":
        return self.alphas.to(like)[self.step(u).to(like.device)].view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Flow(Scheme):
    """Flow matching (Stable Diffusion 3): x_s = (1 - s) x + s noise, the network predicts noise - x; s is the level u
    after the model's shift, s = shift u / (1 + (shift - 1) u), and the time label is 1000 s."""

    shift: float = 3.0

    def sigma(self, u: "Tensor") -> "Tensor":
        return self.shift * u / (1 + (self.shift - 1) * u)

    def mix(self, x: "Tensor", noise: "Tensor", u: "Tensor") -> "Tensor":
        s = self.sigma(u).to(x).view(-1, 1, 1, 1)
        return (1 - s) * x + s * noise

    def target(self, x: "Tensor", noise: "Tensor", u: "Tensor") -> "Tensor":
        return noise - x

    def label(self, u: "Tensor") -> "Tensor":
        return 1000 * self.sigma(u)


def legacy_level(u: "Tensor", steps: int = 1000) -> "Tensor":
    """The level that indexing SD3's timesteps with int(u * steps) really gives: they stand in descending order, so that
    small u is almost pure noise and u = 1 the last and smallest level. For parity with published scripts only."""
    index = (u * steps).long().clamp(0, steps - 1)
    return 1 - index / steps  # unshifted levels 1, 1 - 1/steps, ..., 1/steps
