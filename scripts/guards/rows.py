"""Rows that our guards and routers are measured on; nothing here is ever trained on by a guard.

Twins validation and test families in all four modalities, and the public rows that are on this machine (XSTest prompts,
FigStep's images, HarmBench completions with human labels). None is required but Twins.
"""

import random

from counterpoise.chat import user
from counterpoise.data import data_root, twins
from counterpoise.evals import benchmarks
from counterpoise.evals.scorers import read_harmbench_labels
from counterpoise.guard._labelled import Labelled, from_sample
from counterpoise.guard._values import Exchange
from counterpoise.guard.own._corpus import corpus

HARMBENCH = 200  # completions: two cores judge about ten a second with the small guard


def twins_rows(split: str, limit: int | None = None) -> list[Labelled]:
    """Whole families of a split, in all modalities."""
    return [from_sample(sample) for sample in twins.samples(split)][:limit]


def public_rows(limit: int | None = None) -> dict[str, list[Labelled]]:
    """By benchmark; empty where its rows are not here."""
    found: dict[str, list[Labelled]] = {}
    for name, card in (("XSTest", "xstest"), ("FigStep-Tiny", "figstep-tiny")):
        if benchmarks()[card].missing() is None:
            found[name] = [from_sample(sample) for sample in benchmarks()[card].read()][:limit]
    root = data_root()
    if root is not None and (root / "harmbench" / "text_judge_labels.json").is_file():
        labelled = read_harmbench_labels(root)
        chosen = random.Random(0).sample(range(len(labelled)), min(limit or HARMBENCH, len(labelled)))
        found["HarmBench completions"] = [
            Labelled(
                f"harmbench-{n}",
                Exchange((user(labelled[n].prompt),), labelled[n].answer),
                labelled[n].harmful,
                str(labelled[n].judges.get("behavior_id", n)),
            )
            for n in chosen
        ]
    return found


def router_rows(limit: int | None = None) -> list[Labelled]:
    """What a router learns from: own rows that were kept back from the guards, and Twins validation."""
    kept = list(corpus("router", pages=450))
    random.Random(0).shuffle(kept)
    return kept[: limit or 900] + twins_rows("validation", limit)
