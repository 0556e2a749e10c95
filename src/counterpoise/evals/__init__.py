"""Benchmarks, suites, and the evaluation that turns a model into scorecard rows. Statistics and scorers beside it."""

from ._benchmark import HEADLINE_SCORER, REFUSAL_SCORERS, Benchmark, Sampling, too_short
from ._evaluate import EvalResult, evaluate
from ._items import Item, item
from ._journal import Journal
from ._registry import benchmark, benchmarks, register
from ._reply import PROBLEMS, AnyReply, answered, from_output, generated, in_parts
from ._scorecard import rows
from ._sources import all_sources, sources_of
from ._suites import Suite, suite, suites
from ._target import Target

__all__ = [
    "HEADLINE_SCORER",
    "PROBLEMS",
    "REFUSAL_SCORERS",
    "AnyReply",
    "Benchmark",
    "EvalResult",
    "Item",
    "Journal",
    "Sampling",
    "Suite",
    "Target",
    "all_sources",
    "answered",
    "benchmark",
    "benchmarks",
    "evaluate",
    "from_output",
    "generated",
    "in_parts",
    "item",
    "register",
    "rows",
    "sources_of",
    "suite",
    "suites",
    "too_short",
]
