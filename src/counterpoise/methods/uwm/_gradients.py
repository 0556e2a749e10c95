"""The two gradient baselines of the UWM paper: weights ranked by accumulated absolute gradient, not by activations.

With l(x, y) = 1 - mean cosine of paired rows and the edited encoder on the left (for the text encoder; for the vision
encoder images and texts change places):

    G-Unsafe:    -l(T_s, I_s) + l(T_s, I_u)
    G-Safe-CLIP: contrastive loss of T_s against I_u, logit scale exp(4.6052) = 100, plus l(T_s, T_u)

Their threshold is a share of weights, not of score mass.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from counterpoise.base import InputError, Progress
from counterpoise.data import Quadruple

if TYPE_CHECKING:
    from counterpoise.models import DualEncoder

    from ._uwm import Kind

Baseline = Literal["gradient-unsafe", "gradient-safe-clip"]
LOGIT_SCALE = 100.0


def distance(left: Tensor, right: Tensor) -> Tensor:
    """1 - mean cosine of paired rows, (B, d) each."""
    return 1 - cosine_similarity(left, right, dim=-1).mean()


def unsafe_loss(safe: Tensor, other_safe: Tensor, other_unsafe: Tensor) -> Tensor:
    """G-Unsafe: `safe` from the edited encoder, the others from the one beside it."""
    return -distance(safe, other_safe) + distance(safe, other_unsafe)


def safe_clip_loss(safe: Tensor, other_unsafe: Tensor, own_unsafe: Tensor) -> Tensor:
    """G-Safe-CLIP: the symmetric contrastive loss that sends safe inputs to the other encoder's unsafe ones, and the
    distance to the same encoder's unsafe ones, which is held fixed."""
    logits = LOGIT_SCALE * normalize(safe, dim=-1) @ normalize(other_unsafe, dim=-1).T
    target = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2 + distance(safe, own_unsafe)


def gradient_scores(
    encoder: "DualEncoder",
    kind: "Kind",
    layers: dict[str, nn.Linear],
    rows: Sequence[Quadruple],
    batch: int,
    baseline: Baseline,
) -> dict[str, Tensor]:
    """Accumulated |gradient| of every weight, (d_out, d_in), float64, by layer. The model is left as it was.

    Raises InputError for a gradient that is no number.
    """
    totals = {name: torch.zeros_like(layer.weight, dtype=torch.float64) for name, layer in layers.items()}
    for layer in layers.values():
        layer.weight.requires_grad_(True)
    try:
        with Progress(f"uwm: gradients of the {kind} encoder", len(rows), unit="pairs") as progress:
            for start in range(0, len(rows), batch):
                some = rows[start : start + batch]
                loss = _loss(encoder, kind, some, baseline)
                found = torch.autograd.grad(loss, [layer.weight for layer in layers.values()], allow_unused=True)
                for name, gradient in zip(layers, found, strict=True):
                    if gradient is None:
                        continue
                    if not bool(torch.isfinite(gradient).all()):
                        raise InputError(f"{name}: its gradient is no number; look at the model's weights")
                    totals[name] += gradient.double().abs() * len(some) / len(rows)
                progress.advance(len(some))
    finally:
        for layer in layers.values():
            layer.weight.requires_grad_(False)
    return totals


def _loss(encoder: "DualEncoder", kind: "Kind", rows: Sequence[Quadruple], baseline: Baseline) -> Tensor:
    def texts(side: str) -> Tensor:
        return encoder.text_features([getattr(row, f"{side}_text") for row in rows])

    def images(side: str) -> Tensor:
        return encoder.image_features([getattr(row, f"{side}_image") for row in rows])

    own, other = (texts, images) if kind == "text" else (images, texts)
    safe = own("safe")
    with torch.no_grad():
        other_unsafe = other("unsafe")
        beside = other("safe") if baseline == "gradient-unsafe" else own("unsafe")
    if baseline == "gradient-unsafe":
        return unsafe_loss(safe, beside, other_unsafe)
    return safe_clip_loss(safe, other_unsafe, beside)


def select_share(score: Tensor, sparsity: float) -> Tensor:
    """Flat indices, rising, of the highest `1 - sparsity` of all weights; ties go by index."""
    flat = score.detach().double().flatten()
    n = round((1 - sparsity) * flat.numel())
    return torch.argsort(flat, stable=True)[flat.numel() - n :].sort().values.cpu()
