"""Training of the tiny guard: a network for each mode that has rows, on features of a frozen embedding and eye."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError
from counterpoise.evals.stats import auc, platt

from .._kept import LIST, content_key, kept_blocks
from .._labelled import Labelled, grouped_split, keep_apart
from ._eye import eye
from ._features import LAYOUT, WIDTH, Rows, TooLong, features
from ._head import MODES, Head, Net
from ._minilm import SHA256
from ._readings import readings
from ._tiny import TinyGuard

BLOCK = 256


def train_tiny(
    rows: Sequence[Labelled], out: Path, *, trained_on: str, seed: int = 0, seeds: int = 1,
    check: Sequence[Labelled] = (), kept: Path | None = None,
) -> TinyGuard:  # fmt: skip
    """Train on labelled rows and write `out/tiny.safetensors`. A mode without rows is left out and answers `unknown`.

    With several `seeds`, from `seed` on, the network of each mode that ranks the `check` rows best (AUC) stands; the
    AUC of every seed is in the card. `kept`: folder in which features are kept. Raises InputError when there are too
    few rows of a label, an image cannot be read, or several seeds have no rows to be chosen on.
    """
    keep_apart(rows, check, "check")
    if seeds > 1 and not check:
        raise InputError("seeds: give rows to choose among them on (check)")
    found, back = features_of(rows, kept), features_of(check, kept)
    nets: dict[str, Net] = {}
    scores: dict[str, list[float]] = {}
    for mode in MODES:
        places = [n for n, row in enumerate(rows) if row.mode == mode]
        if not places:
            continue
        own = [n for n, row in enumerate(check) if row.mode == mode]
        gold = [check[n].unsafe for n in own]
        made = []
        for each in range(seed, seed + seeds):
            net = _fit(mode, found, rows, places, each)
            p = [float(net(back[n]).max()) for n in own]
            made.append((auc(p, gold) if own else None, net))
        scores[mode] = [round(score, 4) for score, _ in made if score is not None]
        nets[mode] = max(made, key=lambda one: one[0] or 0.0)[1]
    images = any(row.exchange.images for row in rows)
    card: dict[str, Any] = {
        "eye": eye().revision if images else None, "trained_on": trained_on, "rows": len(rows), "seed": seed,
        "seeds": seeds, "kept_back_auc": scores,
    }  # fmt: skip
    return TinyGuard(Head(nets, card).save(out / "tiny.safetensors"))


def _fit(mode: str, found: Sequence[Rows], rows: Sequence[Labelled], places: Sequence[int], seed: int) -> Net:
    unsafe, groups = [rows[n].unsafe for n in places], [rows[n].group for n in places]
    try:
        return fit_net([found[n] for n in places], unsafe, groups, seed=seed)
    except InputError as error:
        raise InputError(f"{mode} mode: {error}") from error


def features_of(rows: Sequence[Labelled], kept: Path | None = None) -> list[Rows]:
    """Features of each row, (windows, WIDTH), in bounded memory; blocks that are `kept` in a folder are not made again.

    Raises InputError naming the rows that cannot be looked at.
    """
    blocks = kept_blocks(rows, _features, size=BLOCK, form=LIST, folder=kept, key=_key, title="tiny, features")
    return [each for block in blocks for each in block]


def _features(block: Sequence[Labelled]) -> list[Rows]:
    exchanges = [row.exchange for row in block]
    try:
        return features(exchanges, readings(exchanges))
    except TooLong as error:
        raise InputError(f"rows {block[0].id} to {block[-1].id}: {error}; leave the long one out") from error


def _key(block: Sequence[Labelled]) -> str:
    """Of everything that the features of a block depend on, but the code that makes them."""
    from counterpoise.evals.scorers import refusal_probability

    told = refusal_probability(["I can't help with that.", "Here is how: begin early."]).tolist()
    seen = [eye().revision] if any(row.exchange.images for row in block) else []
    return content_key(block, LAYOUT, SHA256, str(told), *seen)


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
                    f"no {'unsafe' if side else 'safe'} row left for {name}, of {len(unsafe) - sum(unsafe)} safe and "
                    f"{sum(unsafe)} unsafe; give at least 20 of each label, in several groups"
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
