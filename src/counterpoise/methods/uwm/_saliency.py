"""UWM's importance of weights (D'Inca et al., WACV 2026, arXiv 2503.11742, equations 8 to 11), in its rank-1 form.

For a linear layer W (d_out, d_in) and one sample, n_j is the length of input channel j over its tokens and sigma_j its
standard deviation. Equation 8: in_j = mean_i(n_j |W_ij|), out_i = mean_j(n_j |W_ij|), S_ij = out_i in_j. Equation 9:
Phi_ij = S_ij / sigma_j. Equation 10: score_ij = mean over pairs of Phi^u_ij / Phi^s_ij.

mean_i |W_ij| stands above and below in in^u_j / in^s_j and cancels, so the ratio of one pair is an outer product:

    a_i = (|W| n^u)_i / (|W| n^s)_i        b_j = (n^u_j / sigma^u_j) / (n^s_j / sigma^s_j)        ratio_ij = a_i b_j

and the mean over N pairs is A^T B / N: memory is that of one weight, however many pairs there are.
"""

from typing import NamedTuple

import torch
from torch import Tensor

EPSILON = 1e-8
"""Added to every length and deviation, safe and unsafe alike: channels that never fire have neither."""


class Activity(NamedTuple):
    """What a layer's input was in each of B samples: lengths and standard deviations by channel, (B, d_in), float64."""

    norm: Tensor
    std: Tensor
    enough: Tensor
    """(B,), whether the sample has the two tokens that a deviation needs."""


def activity(x: Tensor, mask: Tensor | None = None) -> Activity:
    """Lengths and unbiased standard deviations over the valid tokens of `x` (B, L, d_in); `mask` is (B, L).

    A sample with fewer than two valid tokens has no deviation; its values are finite and mean nothing.
    """
    values = x.detach().double()
    valid = torch.ones(values.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask.bool()
    weight = valid.unsqueeze(-1).double()
    count = weight.sum(dim=1)
    mean = (values * weight).sum(dim=1) / count.clamp(min=1)
    spread = ((values - mean.unsqueeze(1)).square() * weight).sum(dim=1) / (count - 1).clamp(min=1)
    norm = (values.square() * weight).sum(dim=1).sqrt()
    return Activity(norm, spread.sqrt(), valid.sum(dim=1) >= 2)


class RatioSum:
    """The streamed mean of equation 10 for one layer: add pairs of activities, then read `score`."""

    def __init__(self, weight: Tensor, *, ratio: bool = True):
        """`ratio` False leaves out the safe side (the paper's ablation "Phi^u only")."""
        self.absolute = weight.detach().double().abs()
        self.total = torch.zeros_like(self.absolute)
        self.pairs = self.dropped = 0
        self.ratio = ratio

    def add(self, unsafe: Activity, safe: Activity) -> None:
        """Pairs by index; those with fewer than two tokens on either side are counted in `dropped`."""
        keep = unsafe.enough & safe.enough
        self.pairs, self.dropped = self.pairs + int(keep.sum()), self.dropped + int((~keep).sum())
        a, b = self._factors(unsafe, keep)
        if self.ratio:
            a_safe, b_safe = self._factors(safe, keep)
            a, b = a / a_safe, b / b_safe
        else:  # in_j's mean_i |W_ij| does not cancel without the safe side
            b = b * self.absolute.mean(dim=0)
        self.total += a.T @ b

    def _factors(self, seen: Activity, keep: Tensor) -> tuple[Tensor, Tensor]:
        """out_i (a mean over j) and n_j / sigma_j of the kept samples."""
        norm, std = seen.norm[keep] + EPSILON, seen.std[keep] + EPSILON
        return norm @ self.absolute.T / self.absolute.shape[1] + EPSILON, norm / std

    def score(self, *, times_weight: bool) -> Tensor:
        """(d_out, d_in), float64. `times_weight` multiplies by |W_ij|, which the paper does in text encoders only: in
        vision encoders it collapses performance."""
        mean = self.total / max(self.pairs, 1)
        return mean * self.absolute if times_weight else mean


def select(score: Tensor, sparsity: float) -> Tensor:
    """Equation 11: flat indices, rising, of the highest scores that together carry more than `1 - sparsity` of the sum.

    `sparsity` is a share of the score's mass, not of the weights. With p = score / sum(score) in ascending order, those
    are selected whose running sum exceeds `sparsity`: the selected mass is at least 1 - sparsity, and without its
    smallest member it is less. Sparsity 1 selects nothing, 0 every weight with a positive score. Ties go by index.
    """
    flat = score.detach().double().flatten()
    if not bool(torch.isfinite(flat).all()) or bool((flat < 0).any()):
        raise ValueError("scores must be finite and not negative")
    total = flat.sum()
    if not total > 0 or sparsity >= 1:
        return torch.empty(0, dtype=torch.int64)
    order = torch.argsort(flat, stable=True)
    running = (torch.cumsum(flat[order], dim=0) / total).clamp(max=1)
    return order[running > sparsity].sort().values.cpu()
