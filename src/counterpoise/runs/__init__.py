"""The main job: `run_main` measures a model, corrects it, measures again and writes the report.

`parse_target` and `search` are the dose search on their own: pure, without a model.
"""

from ._config import RunConfig, given_doses, given_grids, run_config, source_settings
from ._doctor import checkup
from ._folders import default_folder, placed
from ._given import given_config
from ._grids import check
from ._main import run_main
from ._plan import Plan, align_plan, eval_plan, run_plan
from ._rewrite import RewriteResult, rewrite_file
from ._search import Grid, Search, excess, search
from ._stages import RealStages, Stages, is_adapter, suite_names
from ._study import StudyConfig, study_directions, study_plan, study_weights
from ._target import Limit, estimates, half_of, parse_target

__all__ = [
    "Grid",
    "Limit",
    "Plan",
    "RealStages",
    "RewriteResult",
    "RunConfig",
    "Search",
    "Stages",
    "StudyConfig",
    "align_plan",
    "check",
    "checkup",
    "default_folder",
    "estimates",
    "eval_plan",
    "excess",
    "given_config",
    "given_doses",
    "given_grids",
    "half_of",
    "is_adapter",
    "parse_target",
    "placed",
    "rewrite_file",
    "run_config",
    "run_main",
    "run_plan",
    "search",
    "source_settings",
    "study_directions",
    "study_plan",
    "study_weights",
    "suite_names",
]
