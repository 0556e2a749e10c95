"""Twins: the same intent as text, print, picture and pair of pictures, harmful and benign side by side.

A family is a harmful request and a benign one with nearly the same surface. `samples` renders the families of a split
into evaluation samples; `check_leakage` finds training samples that are too close to evaluation samples.
"""

from counterpoise.data._leakage import Leak, check_leakage

from ._families import MODALITIES, SCENARIOS, Family, Side, families, quadruples, sample, samples

__all__ = [
    "MODALITIES",
    "SCENARIOS",
    "Family",
    "Leak",
    "Side",
    "check_leakage",
    "families",
    "quadruples",
    "sample",
    "samples",
]
