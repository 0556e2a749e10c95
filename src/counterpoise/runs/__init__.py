"""The main job: `run_main` measures a model, corrects it, measures again and writes the report.

`parse_target` and `search` are the dose search on their own: pure, without a model.
"""

from ._config import RunConfig, run_config
from ._cost import Plan
from ._doctor import checkup
from ._dose import FRACTIONS, Search, excess, search
from ._main import run_main
from ._measure import estimates, half_of
from ._plan import eval_plan, plan
from ._steps import RealSteps, Steps, suite_names
from ._target import Limit, parse_target

__all__ = [
    "FRACTIONS",
    "Limit",
    "Plan",
    "RealSteps",
    "RunConfig",
    "Search",
    "Steps",
    "checkup",
    "estimates",
    "eval_plan",
    "excess",
    "half_of",
    "parse_target",
    "plan",
    "run_config",
    "run_main",
    "search",
    "suite_names",
]
