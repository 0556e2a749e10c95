"""Mimic: safety rows in the format of the user's own data (Eiras et al., arXiv 2406.10288)."""

from ._mimic import FRACTIONS, MimicConfig, align, build, safety_rows
from ._mix import MimicRecord, Provenance
from ._profile import profile
from ._rewrite import Job, problem, rewrite

__all__ = [
    "FRACTIONS",
    "Job",
    "MimicConfig",
    "MimicRecord",
    "Provenance",
    "align",
    "build",
    "problem",
    "profile",
    "rewrite",
    "safety_rows",
]
