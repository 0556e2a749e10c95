"""What tuning changed inside: the PCFG study (`pcfg`), and the same analyses on any two chat models.

Read `_analyses` first, then `_weights` (a base and its correction) or `_directions` (what a model knows of an image and
what it does about it).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._directions import ablate, choose, difference, directions
    from ._kept import Kept
    from ._states import look, prompts
    from ._weights import changes, scaled, weights

_PLACE = {"Kept": "_kept", "ablate": "_directions", "changes": "_weights", "choose": "_directions",
          "difference": "_directions", "directions": "_directions", "look": "_states", "prompts": "_states",
          "scaled": "_weights", "weights": "_weights"}  # fmt: skip

__all__ = [
    "Kept",
    "ablate",
    "changes",
    "choose",
    "difference",
    "directions",
    "look",
    "prompts",
    "scaled",
    "weights",
]


def __getattr__(name: str) -> Any:
    """Imported when first used: some bring torch."""
    from importlib import import_module

    if name not in _PLACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACE[name]}"), name)
