"""Statistics for scorecards: pure functions over arrays of verdicts (1, 0, None = unscored), numpy only.

`rate` makes a row; `paired_difference` compares two runs over the same items; `holm` adjusts many comparisons;
`rogan_gladen` corrects a rate for its judge; `confidence_sequence` holds at every n, so that an evaluation may stop
early. Everything is deterministic (fixed seeds) and independent of item order.
"""

from ._auc import auc
from ._cluster import percentiles, resample
from ._judge import Confusion, Corrected, confusion, prediction_powered, rogan_gladen
from ._macro import macro_rate
from ._many import benjamini_hochberg, holm, non_inferior
from ._mcnemar import mcnemar_p, tango
from ._paired import Difference, discrimination, modality_gap, paired_difference
from ._platt import platt
from ._power import detectable_paired, detectable_unpaired, n_paired, n_unpaired
from ._proportion import Interval, clopper_pearson, effective_n, wilson, zero_event_bound
from ._ranks import Rank, rank_normal
from ._rate import Rate, bounds, rate
from ._repeats import pass_at_k
from ._seeds import Seeded, SeededDifference, seeded_difference, seeded_rate
from ._sequence import anytime_difference, anytime_rate, confidence_sequence, units
from ._stopping import StopRule, Watch, expected_rows, parse_stop_rule

__all__ = [
    "Confusion",
    "Corrected",
    "Difference",
    "Interval",
    "Rank",
    "Rate",
    "Seeded",
    "SeededDifference",
    "StopRule",
    "Watch",
    "anytime_difference",
    "anytime_rate",
    "auc",
    "benjamini_hochberg",
    "bounds",
    "clopper_pearson",
    "confidence_sequence",
    "confusion",
    "detectable_paired",
    "detectable_unpaired",
    "discrimination",
    "effective_n",
    "expected_rows",
    "holm",
    "macro_rate",
    "mcnemar_p",
    "modality_gap",
    "n_paired",
    "n_unpaired",
    "non_inferior",
    "paired_difference",
    "parse_stop_rule",
    "pass_at_k",
    "percentiles",
    "platt",
    "prediction_powered",
    "rank_normal",
    "rate",
    "resample",
    "rogan_gladen",
    "seeded_difference",
    "seeded_rate",
    "tango",
    "units",
    "wilson",
    "zero_event_bound",
]
