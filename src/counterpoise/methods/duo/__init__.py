"""Forgetting a concept in a text-to-image model: DUO, and its baselines ESD and UCE on the same models.

`evaluate` measures what is forgotten and what stays, by any detector. The loss itself is in `_loss`, a pure function.
"""

from ._duo import DUOConfig
from ._esd import ESDConfig
from ._evaluate import (
    Forgetting,
    Preserved,
    Prompts,
    evaluate,
    lpips_similarity,
    preserved,
    ssim,
    ssim_similarity,
)
from ._pairs import ConceptPair, Detector, PairPlan, make_pairs, read_pairs
from ._uce import UCEConfig

__all__ = [
    "ConceptPair",
    "DUOConfig",
    "Detector",
    "ESDConfig",
    "Forgetting",
    "PairPlan",
    "Preserved",
    "Prompts",
    "UCEConfig",
    "evaluate",
    "lpips_similarity",
    "make_pairs",
    "preserved",
    "read_pairs",
    "ssim",
    "ssim_similarity",
]
