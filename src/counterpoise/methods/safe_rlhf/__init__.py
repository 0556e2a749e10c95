"""Safe RLHF-V (arXiv 2503.17682): reward and cost model, PPO under a budget of cost, rivals on the same pairs.

Read `_math` beside the paper, then `_control` (the multiplier), `_scores` (the two models), `_episodes` and `_ppo` (an
update), `_align` (the stages). Importing this package does not import torch.
"""

from typing import TYPE_CHECKING, Any

from ._align import align
from ._config import PPOConfig, SafeRLHFConfig, ScoringConfig
from ._control import Multiplier, MultiplierConfig
from ._sacpo import SACPOConfig
from ._sacpo import align as sacpo

if TYPE_CHECKING:
    from ._best import best_of_n
    from ._guard import CostGuard, Said
    from ._scores import CostModel, RewardModel, ScoreModel
    from ._severity import SeverityGuard, filter_and_regenerate, severity_metrics, train_severity

_PLACES = {
    "CostGuard": "_guard",
    "CostModel": "_scores",
    "RewardModel": "_scores",
    "Said": "_guard",
    "ScoreModel": "_scores",
    "SeverityGuard": "_severity",
    "best_of_n": "_best",
    "filter_and_regenerate": "_severity",
    "severity_metrics": "_severity",
    "train_severity": "_severity",
}

__all__ = [
    "CostGuard",
    "CostModel",
    "Multiplier",
    "MultiplierConfig",
    "PPOConfig",
    "RewardModel",
    "SACPOConfig",
    "SafeRLHFConfig",
    "Said",
    "ScoreModel",
    "ScoringConfig",
    "SeverityGuard",
    "align",
    "best_of_n",
    "filter_and_regenerate",
    "sacpo",
    "severity_metrics",
    "train_severity",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
