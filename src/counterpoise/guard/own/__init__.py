"""Guards of our own that run on a CPU: `tiny` (sentence embedding and a small network) and `small` (the pocket VLM with
LoRA, Llama Guard's way). Both read prompts, answers and images; their measured errors are in their cards."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._corpus import corpus
    from ._measure import Measured
    from ._minilm import MiniLM, minilm
    from ._small import SmallGuard, small
    from ._small_train import train_small
    from ._tiny import TinyGuard, tiny
    from ._tiny_train import train_tiny
    from ._train import train_guard

_PLACES = {
    "Measured": "_measure",
    "MiniLM": "_minilm",
    "minilm": "_minilm",
    "SmallGuard": "_small",
    "TinyGuard": "_tiny",
    "corpus": "_corpus",
    "small": "_small",
    "tiny": "_tiny",
    "train_guard": "_train",
    "train_small": "_small_train",
    "train_tiny": "_tiny_train",
}

__all__ = [
    "Measured",
    "MiniLM",
    "SmallGuard",
    "TinyGuard",
    "corpus",
    "minilm",
    "small",
    "tiny",
    "train_guard",
    "train_small",
    "train_tiny",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
