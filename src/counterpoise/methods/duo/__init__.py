"""Forgetting a concept in a text-to-image model: DUO, and its baselines ESD and UCE on the same models.

`evaluate` measures what is forgotten and what stays, by any detector; `defended` the same under an attack. The loss
itself is in `_loss`, a pure function.
"""

from ._attacks import Drawing, concept_direction, defended, ring_a_bell, sdedit, wordings
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
from ._inversion import Inversion, invert
from ._pairs import ConceptPair, Detector, PairPlan, make_pairs, read_pairs
from ._quality import Distance, clip_score, fid, frechet, inception_features
from ._uce import UCEConfig

__all__ = [
    "ConceptPair",
    "DUOConfig",
    "Detector",
    "Distance",
    "Drawing",
    "ESDConfig",
    "Forgetting",
    "Inversion",
    "PairPlan",
    "Preserved",
    "Prompts",
    "UCEConfig",
    "clip_score",
    "concept_direction",
    "defended",
    "evaluate",
    "fid",
    "frechet",
    "inception_features",
    "invert",
    "lpips_similarity",
    "make_pairs",
    "preserved",
    "read_pairs",
    "ring_a_bell",
    "sdedit",
    "ssim",
    "ssim_similarity",
    "wordings",
]
