"""Pairs: two images that are harmless apart and risky together, each item beside a safe twin (our own MIS-like set).

A situation says which things are risky where. `samples` gives evaluation rows of a split with the controls of the MIS
paper (other order, white images), `training_rows` gives endless rows with answers (perceive, reason, answer), and
`dataset` the finite set of all splits.
"""

from ._labels import LABELS, Labels, answer, perceived
from ._rows import CONTROLS, Control, ask, dataset, sample, samples, training_rows, training_twins
from ._situations import CATEGORIES, PER_SIDE, Item, PairSplit, Situation, items, situations

__all__ = [
    "CATEGORIES",
    "CONTROLS",
    "LABELS",
    "PER_SIDE",
    "Control",
    "Item",
    "Labels",
    "PairSplit",
    "Situation",
    "answer",
    "ask",
    "dataset",
    "items",
    "perceived",
    "sample",
    "samples",
    "situations",
    "training_rows",
    "training_twins",
]
