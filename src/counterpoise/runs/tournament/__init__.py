"""A tournament: several methods correct one model, with the same items, seeds and budget; one page compares them."""

from ._config import (
    BASE,
    ArmConfig,
    Budget,
    TournamentConfig,
    parse_arm,
    parse_budget,
    parse_methods,
    tournament_config,
)
from ._main import run_tournament
from ._plan import tournament_plan

__all__ = [
    "BASE",
    "ArmConfig",
    "Budget",
    "TournamentConfig",
    "parse_arm",
    "parse_budget",
    "parse_methods",
    "run_tournament",
    "tournament_config",
    "tournament_plan",
]
