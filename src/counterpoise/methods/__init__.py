"""Published alignment methods, one module each, behind one registry.

`get("rejection-mix")` returns the method, `method.config(model_folder)` its settings, and
`method.align(loaded, config, out)` trains. Importing this package does not import torch.
"""

from counterpoise.data import overlap_with

from ._align import align as rejection_mix
from ._mix_config import RejectionMixConfig
from ._presets import align_defaults
from ._registry import GROUP, Method, Source, all_methods, get, method
from ._rejection_mix import MixRecord, build_mix
from ._result import AlignResult

__all__ = [
    "GROUP",
    "AlignResult",
    "Method",
    "MixRecord",
    "RejectionMixConfig",
    "Source",
    "align_defaults",
    "all_methods",
    "build_mix",
    "get",
    "method",
    "overlap_with",
    "rejection_mix",
]
