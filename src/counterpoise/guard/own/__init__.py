"""Guards of our own: `tiny` (sentence embedding and a small network), `small` (the pocket VLM with LoRA, Llama Guard's
way) and `probe` (the deployed model's own hidden states). Their measured errors are in their cards."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._corpus import corpus
    from ._measure import Measured
    from ._minilm import MiniLM, minilm
    from ._probe import ProbeGuard, probe, probe_on
    from ._probe_train import train_probe
    from ._small import SmallGuard, small
    from ._small_train import train_small
    from ._tiny import TinyGuard, tiny
    from ._tiny_train import train_tiny
    from ._train import Fit, Kind, train_guard

_PLACES = {
    "Fit": "_train",
    "Kind": "_train",
    "Measured": "_measure",
    "MiniLM": "_minilm",
    "minilm": "_minilm",
    "ProbeGuard": "_probe",
    "SmallGuard": "_small",
    "TinyGuard": "_tiny",
    "corpus": "_corpus",
    "probe": "_probe",
    "probe_on": "_probe",
    "small": "_small",
    "tiny": "_tiny",
    "train_guard": "_train",
    "train_probe": "_probe_train",
    "train_small": "_small_train",
    "train_tiny": "_tiny_train",
}

__all__ = [
    "Fit",
    "Kind",
    "Measured",
    "MiniLM",
    "ProbeGuard",
    "SmallGuard",
    "TinyGuard",
    "corpus",
    "minilm",
    "probe",
    "probe_on",
    "small",
    "tiny",
    "train_guard",
    "train_probe",
    "train_small",
    "train_tiny",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
