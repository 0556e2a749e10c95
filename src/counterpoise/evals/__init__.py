"""Benchmarks, suites, and the evaluation that turns a model into scorecard rows. Statistics and scorers beside it."""

from ._benchmark import HEADLINE_SCORER, REFUSAL_SCORERS, Benchmark, In, Sampling, spread, too_short
from ._early import watched
from ._evaluate import EvalResult, evaluate
from ._items import Item, item
from ._journal import Journal
from ._one_word import WordPair, word_pair
from ._registry import all_sources, benchmark, benchmarks, register, sources_of
from ._reply import PROBLEMS, AnyReply, answered, from_output, generated, in_parts
from ._scorecard import rows
from ._suites import Suite, suite, suites
from ._target import Target
from .own import framed

__all__ = [
    "HEADLINE_SCORER",
    "PROBLEMS",
    "REFUSAL_SCORERS",
    "AnyReply",
    "Benchmark",
    "EvalResult",
    "In",
    "Item",
    "Journal",
    "Sampling",
    "Suite",
    "Target",
    "WordPair",
    "all_sources",
    "answered",
    "benchmark",
    "benchmarks",
    "evaluate",
    "framed",
    "from_output",
    "generated",
    "in_parts",
    "item",
    "register",
    "rows",
    "sources_of",
    "spread",
    "suite",
    "suites",
    "too_short",
    "watched",
    "word_pair",
]
