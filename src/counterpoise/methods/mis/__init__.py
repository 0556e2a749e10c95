"""Building a set in the manner of MIS: resumable steps, any Inspect model in each role, pictures by diffusers or icons.

`build(files, MISBuild(model="openai/gpt-4o"), out)` is what `counterpoise data mis` runs. Read `_build` first.
"""

from typing import TYPE_CHECKING, Any

from ._ask import Desk, Failed, OffFormat, Question
from ._build import build
from ._paint import SHOWN, DiffusersPainter, IconPainter, Painter, Studio, shown_in
from ._rewrite import rewrite
from ._seeds import Seed, read_seeds
from ._values import ROLES, STEPS, Built, MISBuild, planned_calls

if TYPE_CHECKING:
    from ._expert import IconExpert

__all__ = [
    "ROLES",
    "SHOWN",
    "STEPS",
    "Built",
    "Desk",
    "DiffusersPainter",
    "Failed",
    "IconExpert",
    "IconPainter",
    "MISBuild",
    "OffFormat",
    "Painter",
    "Question",
    "Seed",
    "Studio",
    "build",
    "planned_calls",
    "read_seeds",
    "rewrite",
    "shown_in",
]


def __getattr__(name: str) -> Any:
    """The expert is a class of Inspect, which takes seconds to import."""
    if name != "IconExpert":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._expert import IconExpert

    return IconExpert
