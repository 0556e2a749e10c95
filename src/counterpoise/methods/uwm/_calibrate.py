"""Calibration of UWM: run pairs of safe and unsafe inputs through an encoder, and score every targeted weight."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from counterpoise.base import InputError, Progress, notice

from ._saliency import RatioSum, select
from ._towers import Tower


class Scored(NamedTuple):
    """What calibration found of one layer."""

    score: Tensor
    """(d_out, d_in), float64."""
    pairs: int
    dropped: int
    """Pairs with fewer than two valid tokens on a side."""


Pairs = Callable[[int], Iterator[tuple[Sequence[Any], Sequence[Any]]]]
"""From a batch size to batches of (unsafe, safe) inputs, paired by index."""


@torch.inference_mode()
def calibrate(tower: Tower, pairs: Pairs, batch: int, total: int, *, ratio: bool = True) -> dict[str, Scored]:
    """The score of every layer of an encoder over all pairs (steps 2 to 6). Pairs count alike, whatever the batches.

    Memory is two float64 matrices of each layer's size and one batch. Raises InputError for a batch in which some
    layer's inputs are no finite numbers. A layer for which no pair has two tokens, such as a pooling head, is left out
    and said.
    """
    sums: dict[str, RatioSum] = {}
    with Progress(f"uwm: {tower.kind} encoder", total, unit="pairs") as progress:
        for unsafe, safe in pairs(batch):
            seen_unsafe, seen_safe = tower.activities(unsafe), tower.activities(safe)
            for name, layer in tower.layers.items():
                if not bool(torch.isfinite(seen_unsafe[name].norm).all() & torch.isfinite(seen_safe[name].norm).all()):
                    raise InputError(f"{name}: its inputs are no finite numbers; look at the model's weights")
                if name not in sums:
                    sums[name] = RatioSum(layer.weight, ratio=ratio)
                sums[name].add(seen_unsafe[name], seen_safe[name])
            progress.advance(len(unsafe))
    if not sums:
        raise InputError(f"no pairs for the {tower.kind} encoder")
    bare = [name for name, each in sums.items() if not each.pairs]
    if len(bare) == len(sums):
        raise InputError(f"no pair gives the {tower.kind} encoder two tokens on both sides; are the texts empty?")
    for name in bare:
        notice(f"{name}: its inputs have a single token, so they have no deviation; not edited")
    times = tower.kind == "text"
    return {
        name: Scored(each.score(times_weight=times), each.pairs, each.dropped)
        for name, each in sums.items()
        if each.pairs
    }


def choose(score: Tensor, sparsity: float, *, at_random: int | None = None) -> Tensor:
    """Flat indices of one layer that the edit changes, rising (step 7): `select`'s, or, with a seed, weights at random
    until they carry the same share of the score."""
    if at_random is None:
        return select(score, sparsity)
    drawn = torch.randperm(score.numel(), generator=torch.Generator().manual_seed(at_random))
    mass = torch.cumsum(score.flatten().cpu()[drawn], dim=0) / score.sum().cpu()
    n = int((mass < 1 - sparsity).sum()) + 1 if sparsity < 1 else 0
    return drawn[:n].sort().values
