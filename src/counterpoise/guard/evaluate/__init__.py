"""Both rates of a guard, catch and over-block, with its calibration and its latency, on labelled exchanges."""

from ._calibration import Bin, Calibration, calibration
from ._ranking import Auc, ranking
from ._rates import CATCH, OVER_BLOCK, Policy, category_rows, rate_rows
from ._result import RESULTS, Checked, GuardResult, Latency, facts_of, load_results, save_results
from ._run import evaluate_guard
from ._sets import RESPONSE_SETS, EvalSet, eval_sets, parts

__all__ = [
    "CATCH",
    "OVER_BLOCK",
    "RESPONSE_SETS",
    "RESULTS",
    "Auc",
    "Bin",
    "Calibration",
    "Checked",
    "EvalSet",
    "GuardResult",
    "Latency",
    "Policy",
    "calibration",
    "category_rows",
    "eval_sets",
    "evaluate_guard",
    "facts_of",
    "load_results",
    "parts",
    "ranking",
    "rate_rows",
    "save_results",
]
