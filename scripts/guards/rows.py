"""Rows that our guards and routers are measured on; nothing here is ever trained on by a guard.

Twins validation and test families in all four modalities, and the public rows that are on this machine (XSTest prompts,
FigStep's images, HarmBench completions with human labels). None is required but Twins.
"""

import random

from counterpoise.base import InputError
from counterpoise.data import twins
from counterpoise.guard._labelled import Labelled, from_sample
from counterpoise.guard.evaluate import eval_sets
from counterpoise.guard.own import corpus

PUBLIC = {"xstest": None, "figstep-tiny": None, "harmbench-responses": 200}  # two cores judge about ten rows a second


def twins_rows(split: str, limit: int | None = None) -> list[Labelled]:
    """Whole families of a split, in all modalities."""
    return [from_sample(sample) for sample in twins.samples(split)][:limit]


def public_rows(limit: int | None = None) -> dict[str, list[Labelled]]:
    """By set; those without rows here are left out."""
    found: dict[str, list[Labelled]] = {}
    for name, most in PUBLIC.items():
        try:
            sets, _ = eval_sets([name], limit=limit or most)
        except InputError:  # no rows of this set here
            continue
        found |= {each.name: list(each.rows) for each in sets}
    return found


def router_rows(limit: int | None = None) -> list[Labelled]:
    """What a router learns from: own rows that were kept back from the guards, and Twins validation."""
    kept = list(corpus("router", pages=450))
    random.Random(0).shuffle(kept)
    return kept[: limit or 900] + twins_rows("validation", limit)
