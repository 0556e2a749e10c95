"""Published alignment methods, one module each, behind one registry.

`get("rejection-mix")` returns the method, `method.config(model_folder)` its settings, and
`method.align(loaded, config, out)` trains. Importing this package does not import torch.
"""

from ._answers import own_answers
from ._constrained_sft import ConstrainedSFTConfig
from ._dpo import DPOConfig, pair_of
from ._knobs import Knob, Scale, Size
from ._outcome import AlignResult, write_run
from ._raft import RAFTConfig
from ._registry import GROUP, Align, Method, all_methods, get, method
from ._rejection_mix import FRACTIONS, MixRecord, RejectionMixConfig, build_mix
from ._rejection_mix import align as rejection_mix
from ._rewards import Reward, make_reward
from ._settings import align_defaults, changed, given_settings
from ._sit import SITConfig, draw_mix
from ._sources import Files, Overlaps, Rows, Source, check_images, draw_all, made_rows, rows_from, store_rows
from ._sr_llm import SRLLMConfig, rewrite_texts
from .safe_rlhf import SafeRLHFConfig
from .uwm import UWMConfig

__all__ = [
    "FRACTIONS",
    "GROUP",
    "Align",
    "AlignResult",
    "ConstrainedSFTConfig",
    "DPOConfig",
    "Files",
    "Knob",
    "Method",
    "MixRecord",
    "Overlaps",
    "RAFTConfig",
    "RejectionMixConfig",
    "Reward",
    "Rows",
    "SITConfig",
    "SRLLMConfig",
    "SafeRLHFConfig",
    "Scale",
    "Size",
    "Source",
    "UWMConfig",
    "align_defaults",
    "all_methods",
    "build_mix",
    "changed",
    "check_images",
    "draw_all",
    "draw_mix",
    "get",
    "given_settings",
    "made_rows",
    "make_reward",
    "method",
    "own_answers",
    "pair_of",
    "rejection_mix",
    "rewrite_texts",
    "rows_from",
    "store_rows",
    "write_run",
]
