"""SafeGround: whether a dual encoder prefers the safe item, in the nine ways of the paper, and the older recalls."""

from ._measure import Measured, compared, measure
from ._preference import MEANING, METRICS, RECALL_AT, Embeddings, preferences, recall, recalls, zero_shot

__all__ = [
    "MEANING",
    "METRICS",
    "RECALL_AT",
    "Embeddings",
    "Measured",
    "compared",
    "measure",
    "preferences",
    "recall",
    "recalls",
    "zero_shot",
]
