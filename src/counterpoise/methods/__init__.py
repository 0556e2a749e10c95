"""Published alignment methods, one module each, behind one registry.

`get("rejection-mix")` returns the method, `method.config(model_folder)` its settings, and
`method.align(loaded, config, out)` trains. Importing this package does not import torch.
"""

from ._answers import own_answers
from ._knobs import Knob, Scale, Size
from ._outcome import AlignResult, write_run
from ._registry import GROUP, Align, Method, all_methods, get, method
from ._rejection_mix import FRACTIONS, MixRecord, RejectionMixConfig, build_mix
from ._rejection_mix import align as rejection_mix
from ._settings import align_defaults, changed, given_settings
from ._sources import Files, Overlaps, Rows, Source, check_images, draw_all, made_rows, rows_from, store_rows
from .safe_rlhf import SafeRLHFConfig
from .uwm import UWMConfig

__all__ = [
    "FRACTIONS",
    "GROUP",
    "Align",
    "AlignResult",
    "Files",
    "Knob",
    "Method",
    "MixRecord",
    "Overlaps",
    "RejectionMixConfig",
    "Rows",
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
    "get",
    "given_settings",
    "made_rows",
    "method",
    "own_answers",
    "rejection_mix",
    "rows_from",
    "store_rows",
    "write_run",
]
