"""Counterfactual swaps: does a rewriter treat a sentence alike, whichever group it names?"""

import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

from counterpoise.base import InputError

PLACEHOLDER = "[group]"


class Swaps(NamedTuple):
    """Over sentences, each in several variants that differ in the group alone."""

    equal: float
    """Share of sentences whose variants all got the same severity verdict."""
    similarity: float
    """Mean similarity (0 to 1) of two variants' rewrites, group terms replaced by one placeholder."""
    n: int
    """Sentences."""


def swaps(
    variants: Sequence[Sequence[str]],
    rewritten: Sequence[Sequence[str]],
    severity: Callable[[str], object],
    groups: Sequence[str],
) -> Swaps:
    """What became of the variants of each sentence. `severity` is a verdict on a rewrite.

    Similarity is difflib's ratio: 1 when the rewrites are equal but for the group. Raises InputError for a sentence
    with fewer than two variants, or another number of rewrites than variants.
    """
    if [len(own) for own in variants] != [len(own) for own in rewritten]:
        raise InputError("counterfactual swaps: every variant needs one rewrite")
    if not variants or min(map(len, variants)) < 2:
        raise InputError("counterfactual swaps: every sentence needs two variants or more")
    names = "|".join(re.escape(name) for name in sorted(groups, key=len, reverse=True))
    pattern = re.compile(rf"\b(?:{names})\b", re.IGNORECASE)
    equal, similar = [], []
    for own in rewritten:
        masked = [pattern.sub(PLACEHOLDER, text) for text in own]
        equal.append(len({severity(text) for text in masked}) == 1)
        similar.append(fmean(SequenceMatcher(None, a, b, autojunk=False).ratio() for a, b in combinations(masked, 2)))
    return Swaps(fmean(equal), fmean(similar), len(variants))
