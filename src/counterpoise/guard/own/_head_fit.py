"""Training of the tiny guard's network, and Platt scaling."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError

from ..saferoute._labels import grouped_split
from ._features import WIDTH, Rows
from ._head import Floats, Net


def fit_net(
    rows: Sequence[Rows],
    unsafe: Sequence[bool],
    groups: Sequence[str],
    *,
    seed: int = 0,
    hidden: int = 64,
    epochs: int = 40,
) -> Net:
    """Train on rows of (windows, WIDTH), both sides weighing the same; of a row with several windows the one that looks
    worst at the beginning of each epoch stands for it, as in use.

    A tenth of the groups is kept out of the training and fits the Platt scaling. AdamW, dropout on features and hidden
    units. Raises InputError when a side or the number of groups is too small.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    kept = np.zeros(len(rows), bool)
    kept[grouped_split(groups, np.array(unsafe), 0.1, seed)[1]] = True
    for side in (True, False):
        for name, mask in (("training", ~kept), ("calibration", kept)):
            if not np.any(mask & (np.array(unsafe) == side)):
                raise InputError(
                    f"training: no {'unsafe' if side else 'safe'} rows left for {name}; give at least 20 of each label"
                )
    windows, labels = torch.from_numpy(np.concatenate(list(rows))), torch.tensor(unsafe, dtype=torch.float32)
    counts = [len(row) for row in rows]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, second = nn.Linear(WIDTH, hidden), nn.Linear(hidden, 1)
        net = nn.Sequential(nn.Dropout(0.2), first, nn.ReLU(), nn.Dropout(0.3), second)
        train = torch.from_numpy(np.flatnonzero(~kept))
        share = labels[train].mean()
        weight = torch.where(labels > 0, 0.5 / share, 0.5 / (1 - share))
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * -(-len(train) // 256))
        for _ in range(epochs):
            worst = torch.from_numpy(_worst(net, windows, counts))
            net.train()
            for batch in torch.split(train[torch.randperm(len(train))], 256):
                logits = net(windows[worst[batch]])[:, 0]
                loss = F.binary_cross_entropy_with_logits(logits, labels[batch], weight=weight[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        back = torch.from_numpy(_worst(net, windows, counts)[kept])
        with torch.no_grad():
            logits = net.eval()(windows[back])[:, 0].double().numpy()
    arrays = [first.weight.T, first.bias, second.weight[0], second.bias]
    w1, b1, w2, b2 = (a.detach().numpy().astype(np.float32).copy() for a in arrays)
    return Net(w1, b1, w2, b2, np.array(platt(logits, labels.numpy()[kept]), np.float32))


def _worst(net: Any, windows: Any, counts: Sequence[int]) -> NDArray[np.int64]:
    """For each row the place of its window with the largest logit."""
    starts = np.cumsum([0, *counts[:-1]])
    if max(counts) == 1:
        return starts.astype(np.int64)
    import torch

    with torch.no_grad():
        logits = net.eval()(windows)[:, 0].numpy()
    return np.array([s + int(np.argmax(logits[s : s + n])) for s, n in zip(starts, counts, strict=True)], np.int64)


def platt(logits: Floats, y: NDArray[Any]) -> tuple[float, float]:
    """(slope, offset) that minimise the cross-entropy of sigmoid(slope logit + offset) (Platt 1999), by Newton's method
    with his smoothed targets. A slope that would turn the order around is replaced by 1."""
    n1, n0 = float((y > 0.5).sum()), float((y <= 0.5).sum())
    target = np.where(y > 0.5, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    x = np.stack([logits, np.ones_like(logits)], axis=1)

    def loss(w: Floats) -> float:
        z = x @ w
        return float(np.sum(np.logaddexp(0, z) - target * z))

    w = np.array([1.0, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -40, 40)))
        curve = (x * np.maximum(p * (1 - p), 1e-9)[:, None]).T @ x
        step = np.linalg.solve(curve + 1e-9 * np.eye(2), x.T @ (p - target))
        size = 1.0
        while size > 1e-6 and loss(w - size * step) > loss(w):  # Newton's full step can overshoot by far
            size /= 2
        w = w - size * step
        if size <= 1e-6 or np.abs(step).max() < 1e-9:
            break
    return (float(w[0]), float(w[1])) if w[0] > 0 else (1.0, 0.0)
