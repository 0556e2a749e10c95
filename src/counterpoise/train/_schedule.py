"""Which rows make which step and micro-batch, and at which learning rate: pure functions of numbers and the seed."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

MIN_FILL = {"cpu": 512}  # tokens; below this a smaller micro-batch saves less padding than its overhead costs
GPU_FILL = 2048  # the same on everything else, where a pass over few tokens costs nearly as much
MAX_SHRINK = 0.8  # a row shorter than this share of the longest one starts a new micro-batch


class Step(NamedTuple):
    """One optimizer step: its epoch and its rows."""

    epoch: int
    rows: list[int]


def n_steps(n_rows: int, epochs: float, batch_size: int) -> int:
    """Optimizer steps of a run; the last batch of an epoch may be smaller."""
    return max(1, round(epochs * math.ceil(n_rows / batch_size)))


def steps(n_rows: int, *, epochs: float, batch_size: int, seed: int) -> Iterator[Step]:
    """All steps of a run. Rows are drawn anew for each epoch without regard to their size, so that bucketing changes
    the cost of a step and never its content."""
    left = n_steps(n_rows, epochs, batch_size)
    epoch = 0
    while left:
        order = np.random.default_rng([seed, epoch]).permutation(n_rows)
        for start in range(0, n_rows, batch_size):
            if not left:
                return
            yield Step(epoch, order[start : start + batch_size].tolist())
            left -= 1
        epoch += 1


def micro_batches(sizes: Sequence[int], micro_tokens: int, device: str = "cuda") -> list[list[int]]:
    """Places of rows, split by length into pieces of about `micro_tokens` padded tokens. Rows with and without images
    share a piece: models take the images of a batch as one flat list. Short pieces are filled with shorter rows while
    that costs less than another pass: on a GPU up to two thousand tokens, on a CPU, whose time is the tokens, 512 (the
    mix of the demo then has 11 % padding instead of 30)."""
    fill = MIN_FILL.get(device, GPU_FILL)
    result: list[list[int]] = []
    longest = 0
    for place in sorted(range(len(sizes)), key=lambda place: (-sizes[place], place)):
        last = result[-1] if result else []
        fits = bool(last) and (len(last) + 1) * longest <= micro_tokens
        if fits and (sizes[place] >= MAX_SHRINK * longest or len(last) * longest < fill):
            last.append(place)
        else:
            result.append([place])
            longest = max(sizes[place], 1)
    return result


def share(rows: Sequence[int], weights: Sequence[int], rank: int, world: int) -> list[int]:
    """The rows of one process: every `world`-th by weight, so that all have about as much to do."""
    if world == 1:
        return list(rows)
    return sorted(rows, key=lambda row: (-weights[row], row))[rank::world]


def learning_rate(step: int, total: int, *, peak: float, warmup_ratio: float, schedule: str) -> float:
    """Linear warmup over ceil(ratio x total) steps, then a cosine to 0 at `total` or a constant; steps from 0."""
    warmup = math.ceil(warmup_ratio * total)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
