"""Statistics for scorecards: pure functions over arrays of verdicts (1, 0, None = unscored), numpy only.

`rate` makes a row; `paired_difference` compares two runs over the same items; `holm` adjusts many comparisons;
`claim` says which sentence the numbers allow; `confidence_sequence` holds at every n, so that an evaluation may stop
early. Everything is deterministic (fixed seeds) and independent of item order.
"""

from ._cluster import ClusteredMean, cluster_bootstrap, clustered_mean, percentiles, resample
from ._items import Pairing, pair
from ._judge import Confusion, Corrected, confusion, prediction_powered, rogan_gladen
from ._many import benjamini_hochberg, claim, holm, non_inferior
from ._mcnemar import McNemar, mcnemar, mcnemar_mid_p, mcnemar_p, newcombe_paired
from ._paired import Difference, discrimination, modality_gap, paired_difference
from ._power import detectable_paired, detectable_unpaired, n_paired, n_unpaired
from ._proportion import Interval, clopper_pearson, wilson, zero_event_bound
from ._ranks import Rank, rank_intervals, rank_normal
from ._rate import Rate, bounds, macro_rate, rate
from ._repeats import pass_at_k
from ._sequence import anytime_difference, anytime_rate, confidence_sequence, units
from ._stopping import StopRule, Watch, expected_rows, parse_stop_rule

__all__ = [
    "ClusteredMean",
    "Confusion",
    "Corrected",
    "Difference",
    "Interval",
    "McNemar",
    "Pairing",
    "Rank",
    "Rate",
    "StopRule",
    "Watch",
    "anytime_difference",
    "anytime_rate",
    "benjamini_hochberg",
    "bounds",
    "claim",
    "clopper_pearson",
    "cluster_bootstrap",
    "clustered_mean",
    "confidence_sequence",
    "confusion",
    "detectable_paired",
    "detectable_unpaired",
    "discrimination",
    "expected_rows",
    "holm",
    "macro_rate",
    "mcnemar",
    "mcnemar_mid_p",
    "mcnemar_p",
    "modality_gap",
    "n_paired",
    "n_unpaired",
    "newcombe_paired",
    "non_inferior",
    "pair",
    "paired_difference",
    "parse_stop_rule",
    "pass_at_k",
    "percentiles",
    "prediction_powered",
    "rank_intervals",
    "rank_normal",
    "rate",
    "resample",
    "rogan_gladen",
    "units",
    "wilson",
    "zero_event_bound",
]
