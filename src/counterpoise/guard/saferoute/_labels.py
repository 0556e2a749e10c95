"""Routing labels: where the large guard must look; and splits of rows that are stratified by them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def right(label: NDArray[Any], gold: Bools) -> Bools:
    """Whether verdicts (N) agree with the truth: 1 unsafe, 0 safe; anything else (unknown) is never right."""
    return np.asarray((label == 1) & gold | (label == 0) & ~gold)


def routing_labels(small: NDArray[Any], large: NDArray[Any], gold: Bools) -> Bools:
    """t(x) = 1 iff the small verdict is wrong and the large one is right (Lee et al. 2025, equation 2); shape (N)."""
    return np.asarray(~right(small, gold) & right(large, gold))


def cascade(small: NDArray[Any], large: NDArray[Any], routed: Bools) -> NDArray[np.int8]:
    """The verdict that stands for each row, in the rows' own order: the large guard's where routed."""
    return np.asarray(np.where(routed, large, small), np.int8)


def route(scores: Floats, threshold: float, must: Bools | None = None) -> Bools:
    """score > threshold, and every row that must go (the small guard could not look). 0 sends all, 1 none of the rest.

    Scores are kept off 0, so that rounding cannot break the first promise.
    """
    sent = np.clip(scores, 1e-12, 1.0) > threshold
    return np.asarray(sent if must is None else sent | must)


def grouped_split(
    groups: Sequence[str], hard: Bools, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows to train on, rows held out), groups kept whole: a prompt, its answer and its paraphrases are never on both
    sides. Stratified: `share` of the groups that hold a hard row, and of the others.

    Raises InputError when there are fewer than two groups of rows.
    """
    names, code = np.unique(np.array(groups), return_inverse=True)
    if len(names) < 2:
        raise InputError(f"split: {len(names)} group(s) of rows; at least 2 are needed to hold some out")
    any_hard = np.zeros(len(names), bool)
    np.logical_or.at(any_hard, code, hard)
    random, out = np.random.default_rng(seed), np.zeros(len(names), bool)
    for kind in (True, False):
        members = np.flatnonzero(any_hard == kind)
        count = round(share * len(members))
        if len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        out[random.permutation(members)[:count]] = True
    held = out[code]
    return np.flatnonzero(~held), np.flatnonzero(held)
