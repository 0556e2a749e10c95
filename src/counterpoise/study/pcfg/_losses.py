"""Losses of the study, on per-sample cross-entropies (B): pure functions, as in section 3 of the paper."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ._views import IGNORED


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the counted tokens of a batch; logits (B, T, V), labels (B, T)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def sample_loss(logits: Tensor, labels: Tensor, *, true_mean: bool = False) -> Tensor:
    """(B) cross-entropy of each sample: its sum divided by T whatever the number of counted tokens, as in the paper (so
    that a short sample weighs less), or by that number (`true_mean`)."""
    each = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    total = each.sum(1)
    return total / ((labels != IGNORED).sum(1).clamp(min=1) if true_mean else labels.shape[1])


def ssft(wanted_B: Tensor) -> Tensor:
    """Supervised safety fine-tuning: mean CE(y+)."""
    return wanted_B.mean()


def unlearning(wanted_B: Tensor, unwanted_B: Tensor, a: float = 1.0, b: float = 0.1) -> Tensor:
    """mean(a CE(y+) - b CE(y-))."""
    return (a * wanted_B - b * unwanted_B).mean()


def dpo(wanted_B: Tensor, unwanted_B: Tensor, ref_wanted_B: Tensor, ref_unwanted_B: Tensor,
        beta_wanted: float = 0.1, beta_unwanted: float = 0.01) -> Tensor:  # fmt: skip
    """-mean log sigmoid(β+ (CE_ref(y+) - CE(y+)) - β- (CE_ref(y-) - CE(y-))): two betas, length-normalised ratios."""
    margin = beta_wanted * (ref_wanted_B - wanted_B) - beta_unwanted * (ref_unwanted_B - unwanted_B)
    return -F.logsigmoid(margin).mean()


def matches(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(B) share of counted tokens that the model would choose, and (B) whether all of them are.

    Greedy decoding gives exactly `labels` if and only if, with `labels` before it, every token is the most likely one:
    so whole-segment matches need no decoding. A sample without a counted token is nan and False.
    """
    counted = labels != IGNORED
    right = (logits.argmax(-1) == labels) & counted
    n = counted.sum(1)
    share = right.sum(1) / torch.where(n > 0, n, torch.nan)
    return share, (right.sum(1) == n) & (n > 0)
