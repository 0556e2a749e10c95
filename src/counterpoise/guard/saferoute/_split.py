"""Splits that keep groups whole: a prompt, its answer and its paraphrases are never on both sides."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError

from ._labels import Bools


def grouped_split(
    groups: Sequence[str], hard: Bools, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows to train on, rows held out), stratified: `share` of the groups that hold a hard row, and of the others.

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
