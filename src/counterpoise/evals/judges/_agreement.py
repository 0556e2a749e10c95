"""How far people and judges agree with each other."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from ._labels import Labelled
from ._protocol import Judgement


def ceiling(rows: Sequence[Labelled]) -> dict[str, Any]:
    """How far people agree with each other, in their own classes: no judge can be asked for more.

    `unanimous`: all agree. `agreement` and `kappa` (Cohen): mean over pairs of people. `one_person`: mean over people
    of the agreement of one with the truth. Empty when each case has fewer than two people's labels.
    """
    kept = [row for row in rows if len(row.people) > 1]
    if not kept:
        return {}
    places = range(min(len(row.people) for row in kept))
    columns = [[row.people[place] for row in kept] for place in places]
    pairs = list(combinations(columns, 2))
    found = {
        "n": len(kept),
        "people": len(columns),
        "unanimous": sum(len(set(row.people)) == 1 for row in kept) / len(kept),
        "agreement": sum(_agreement(a, b) for a, b in pairs) / len(pairs),
        "kappa": or_none(sum(cohen_kappa(a, b) for a, b in pairs) / len(pairs)),
    }
    if all(set(column) <= {"0", "1"} for column in columns):
        found["one_person"] = sum(
            _agreement(column, [str(int(row.truth)) for row in kept]) for column in columns
        ) / len(columns)
    return found


def class_agreement(rows: Sequence[Labelled], found: Sequence[Judgement]) -> float | None:
    """Share of scored cases whose label is the people's, over all their classes; None where these are just two."""
    both = [(row.label, each.label) for row, each in zip(rows, found, strict=True) if row.label and each.label]
    return sum(a == b for a, b in both) / len(both) if both else None


def cohen_kappa(a: Sequence[str], b: Sequence[str]) -> float:
    """Agreement of two raters beyond chance over any number of classes (Cohen 1960); NaN when both use one class."""
    n, first, second = len(a), Counter(a), Counter(b)
    chance = sum(first[name] * second[name] for name in first) / (n * n)
    return (_agreement(a, b) - chance) / (1 - chance) if chance < 1 else math.nan


def _agreement(a: Sequence[str], b: Sequence[str]) -> float:
    return sum(x == y for x, y in zip(a, b, strict=True)) / len(a)


def or_none(value: float) -> float | None:
    """A number as JSON has it: None for NaN."""
    return None if math.isnan(value) else value
