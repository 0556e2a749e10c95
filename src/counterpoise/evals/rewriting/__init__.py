"""How good a rewriter is: StereoSet from logits, meaning kept, unsafe words, fluency, counterfactual swaps, judges.

Low toxicity alone says nothing: deleting everything is least toxic. Every measure stands beside the meaning that was
kept, and beside the baselines `copied`, `deleted` and `generic`.
"""

from ._judges import BIAS, MEANING, TOXICITY
from ._measure import Embed, Measured, copied, deleted, generic, listed_words, measure, refuses
from ._stereoset import StereoItem, StereoScore, icat, read_stereoset, stereo_scores, stereoset, text_logprobs
from ._swaps import Swaps, swaps

__all__ = [
    "BIAS",
    "MEANING",
    "TOXICITY",
    "Embed",
    "Measured",
    "StereoItem",
    "StereoScore",
    "Swaps",
    "copied",
    "deleted",
    "generic",
    "icat",
    "listed_words",
    "measure",
    "read_stereoset",
    "refuses",
    "stereo_scores",
    "stereoset",
    "swaps",
    "text_logprobs",
]
