"""Published alignment methods, one module each, behind one registry.

`get("rejection-mix")` returns the method, `method.config(model_folder)` its settings, and
`method.align(loaded, config, out)` trains. Importing this package does not import torch.
"""

from ._answers import own_answers
from ._constrained_sft import ConstrainedSFTConfig
from ._dpo import DPOConfig, pair_of
from ._knobs import PROMPT_TOKENS, Knob, Scale, Size
from ._mirage import MirageConfig
from ._multitask_mix import MultitaskMixConfig
from ._outcome import AlignResult, write_run
from ._ptst import PTSTConfig
from ._raft import RAFTConfig
from ._registry import GROUP, Align, Method, all_methods, get, method
from ._rejection_mix import FRACTIONS, MixRecord, RejectionMixConfig, build_mix
from ._rejection_mix import align as rejection_mix
from ._rewards import Reward, make_reward
from ._safe_lora import SafeLoRAConfig
from ._settings import align_defaults, changed, given_settings
from ._sit import SITConfig, draw_mix
from ._sources import Files, Overlaps, Rows, Source, check_images, draw_all, made_rows, rows_from, store_rows
from ._sr_llm import SRLLMConfig, rewrite_texts
from ._steering import SteeringConfig
from ._text_guided import (
    TextGuidedConfig,
    bind_answered,
    refusal_token,
    text_anchors,
    text_requests,
    twin_targets,
)
from ._textual_sft import TextualSFTConfig
from ._user_sets import UserSet, user_rows
from .duo import DUOConfig, ESDConfig, UCEConfig
from .mimic import MimicConfig
from .safe_rlhf import SafeRLHFConfig
from .uwm import UWMConfig

__all__ = [
    "FRACTIONS",
    "GROUP",
    "PROMPT_TOKENS",
    "Align",
    "AlignResult",
    "ConstrainedSFTConfig",
    "DPOConfig",
    "DUOConfig",
    "ESDConfig",
    "Files",
    "Knob",
    "Method",
    "MimicConfig",
    "MirageConfig",
    "MixRecord",
    "MultitaskMixConfig",
    "Overlaps",
    "PTSTConfig",
    "RAFTConfig",
    "RejectionMixConfig",
    "Reward",
    "Rows",
    "SITConfig",
    "SRLLMConfig",
    "SafeLoRAConfig",
    "SafeRLHFConfig",
    "Scale",
    "Size",
    "Source",
    "SteeringConfig",
    "TextGuidedConfig",
    "TextualSFTConfig",
    "UCEConfig",
    "UWMConfig",
    "UserSet",
    "align_defaults",
    "all_methods",
    "bind_answered",
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
    "refusal_token",
    "rejection_mix",
    "rewrite_texts",
    "rows_from",
    "store_rows",
    "text_anchors",
    "text_requests",
    "twin_targets",
    "user_rows",
    "write_run",
]
