"""Training of a router's networks on features and routing labels."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from counterpoise.base import InputError, Progress

from ._heads import Head
from ._labels import Bools
from ._settings import RouterConfig

Member = dict[str, NDArray[np.float32]]


def balanced(hard: Bools, batch_size: int, steps: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers of each batch, drawn with replacement with weights inverse to the class frequency.

    Raises InputError when a class is missing: nothing can be learned then.
    """
    n1 = int(hard.sum())
    if n1 in (0, len(hard)):
        kind = "no row needs" if n1 == 0 else "every row needs"
        raise InputError(f"router: {kind} the large guard among {len(hard)} training rows; give more or other rows")
    weight = np.where(hard, 0.5 / n1, 0.5 / (len(hard) - n1))
    random = np.random.default_rng(seed)
    for _ in range(steps):
        yield random.choice(len(hard), batch_size, p=weight)


def fit_members(features: NDArray[np.float32], hard: Bools, config: RouterConfig) -> list[Member]:
    """The trained networks of a router: one, or `members` of them for an ensemble."""
    count = config.members if config.head == "ensemble" else 1
    return [_fit(features, hard, config, config.seed + 1000 * number) for number in range(count)]


def _fit(features: NDArray[np.float32], hard: Bools, config: RouterConfig, seed: int) -> Member:
    x, y = torch.from_numpy(np.ascontiguousarray(features, np.float32)), torch.from_numpy(hard.astype(np.float32))
    batch = min(config.batch_size, max(2, len(hard)))
    steps = config.epochs * -(-len(hard) // batch)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = Head(
            x.shape[1],
            config.hidden,
            prior_sigma=config.prior_sigma if config.head == "bayes" else None,
            dropout=config.dropout if config.head == "dropout" else 0.0,
        )
        optimizer: Any = torch.optim.AdamW(head.parameters(), lr=config.learning_rate)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, config.warmup))
        head.train()
        with Progress(f"router, {config.head}", steps, unit="steps") as bar:
            for rows in balanced(hard, batch, steps, seed):
                picked = torch.from_numpy(rows)
                loss: Tensor = F.binary_cross_entropy_with_logits(head(x[picked]), y[picked])
                loss = loss + config.kl_weight * head.kl()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                rate.step()
                bar.advance()
        if not torch.isfinite(loss):
            raise InputError("router: the loss is not a number; are the small guard's features finite?")
        return {name: tensor.numpy().astype(np.float32) for name, tensor in head.arrays().items()}


def _rate(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then linear decay to 0."""
    warmup = min(warmup, steps // 2)
    return (step + 1) / (warmup + 1) if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))
