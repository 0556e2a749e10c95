"""Which rows make which step, in which micro-batches: a pure function, so a resume repeats it."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_FILL = 2048  # tokens; below this a smaller micro-batch saves less padding than its overhead costs
MAX_SHRINK = 0.8  # a row shorter than this share of the longest one starts a new micro-batch


class Sizes(NamedTuple):
    """Per row: estimated tokens (text and images) and number of images."""

    tokens: NDArray[np.int32]
    images: NDArray[np.int32]


class Step(NamedTuple):
    """One optimizer step: its epoch and its micro-batches of row numbers."""

    epoch: int
    micro: list[list[int]]


def n_steps(n_rows: int, epochs: float, batch_size: int) -> int:
    """Optimizer steps of a run; the last batch of an epoch may be smaller."""
    return max(1, round(epochs * math.ceil(n_rows / batch_size)))


def steps(sizes: Sizes, *, epochs: float, batch_size: int, micro_tokens: int, seed: int) -> Iterator[Step]:
    """All steps of a run. Rows are drawn anew for each epoch without regard to their size, so that bucketing changes
    the cost of a step and never its content."""
    n = len(sizes.tokens)
    left = n_steps(n, epochs, batch_size)
    epoch = 0
    while left:
        order = np.random.default_rng([seed, epoch]).permutation(n)
        for start in range(0, n, batch_size):
            if not left:
                return
            yield Step(epoch, micro_batches(order[start : start + batch_size].tolist(), sizes, micro_tokens))
            left -= 1
        epoch += 1


def micro_batches(rows: Sequence[int], sizes: Sizes, micro_tokens: int) -> list[list[int]]:
    """Split one batch by length into pieces of about `micro_tokens` padded tokens. Rows with and without images share a
    piece: models take the images of a batch as one flat list, and a pass over few tokens costs nearly as much as one
    over two thousand."""
    result: list[list[int]] = []
    longest = 0
    ordered = sorted(rows, key=lambda row: (-int(sizes.tokens[row]), row))
    for row in ordered:
        size, last = int(sizes.tokens[row]), result[-1] if result else []
        fits = bool(last) and (len(last) + 1) * longest <= micro_tokens
        if fits and (size >= MAX_SHRINK * longest or len(last) * longest < MIN_FILL):
            last.append(row)
        else:
            result.append([row])
            longest = max(size, 1)
    return result


def share(micro: list[list[int]], rank: int, world: int) -> list[tuple[list[int], float]]:
    """The micro-batches of one process with their weights. Every process gets the same number of them (gradients are
    exchanged together); one that has nothing to do repeats a micro-batch with weight 0."""
    rounds = math.ceil(len(micro) / world)
    mine = [(rows, 1.0) for rows in micro[rank::world]]
    return mine + [(micro[0], 0.0)] * (rounds - len(mine))


def learning_rate(step: int, total: int, *, peak: float, warmup_ratio: float, schedule: str) -> float:
    """Linear warmup over ceil(ratio x total) steps, then a cosine to 0 at `total` or a constant; steps from 0."""
    warmup = math.ceil(warmup_ratio * total)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
