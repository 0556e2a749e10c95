"""The page of a tournament: several corrections of one model, measured alike, with who beats whom."""

from ._arms import Arm, Measure, measures
from ._outcome import Duel, Outcome, Span, outcome
from ._page import headline, literature, markdown, write_tournament

__all__ = [
    "Arm",
    "Duel",
    "Measure",
    "Outcome",
    "Span",
    "headline",
    "literature",
    "markdown",
    "measures",
    "outcome",
    "write_tournament",
]
