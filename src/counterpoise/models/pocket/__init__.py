"""The pocket VLM: a real, small vision-language model that is assembled on this machine without a network.

`ensure()` returns its folder: an ordinary `Idefics3ForConditionalGeneration` with an ordinary processor. Where methods
are shown on several states of it, `ensure(version_of("pocket:6"))` is one version for good.
"""

from ._assemble import (
    ALIGN_DEFAULTS,
    ALIGNMENTS,
    CARD,
    DEFAULT,
    LANGUAGE_MODEL,
    PARTS,
    PRESETS,
    VERSION,
    assemble,
    ensure,
    is_cached,
    language_folder,
    place_texts,
    pocket_folder,
    version_of,
)
from ._language_model import PACKAGE, language_model

__all__ = [
    "ALIGNMENTS",
    "ALIGN_DEFAULTS",
    "CARD",
    "DEFAULT",
    "LANGUAGE_MODEL",
    "PACKAGE",
    "PARTS",
    "PRESETS",
    "VERSION",
    "assemble",
    "ensure",
    "is_cached",
    "language_folder",
    "language_model",
    "place_texts",
    "pocket_folder",
    "version_of",
]
