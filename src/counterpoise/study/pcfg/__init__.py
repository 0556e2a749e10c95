"""The synthetic study: what safety fine-tuning changes in a small GPT, on data whose every rule is known.

"What Makes and Breaks Safety Fine-tuning? A Mechanistic Study" (Jain et al., NeurIPS 2024, arXiv 2407.10264). Read
`_operators` and `_grammar` first (what is generated), then `_rows`, `_views`, `_losses`, `_train`, and `_study` (the
stages). `run(size("tiny"), Path("out"))` does all of it.
"""

from typing import TYPE_CHECKING, Any

from ._claims import TITLES, Claim, claims
from ._rows import ATTACKS
from ._sizes import Size, size

if TYPE_CHECKING:
    from ._study import plan, run

__all__ = ["ATTACKS", "TITLES", "Claim", "Size", "claims", "plan", "run", "size"]


def __getattr__(name: str) -> Any:
    """The stages bring torch: imported when first used."""
    if name not in ("plan", "run"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _study

    return getattr(_study, name)
