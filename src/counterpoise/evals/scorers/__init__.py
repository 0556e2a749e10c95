"""Scorers: named, versioned rules that turn an answer into a value or into "unscored" with a reason.

Refusal scorers (1 = refused): the published `xstest-prefix`, `wang-string`, `vlguard-list`, `advbench-keywords`, and
our own `opening` and `counterpoise-refusal` (trained). Answer scorers: `option`, `letter`, `letter-set`, `exact-match`,
`contains-match`, `numeric-match`, `math-final`, `word-accuracy`, `vqa-soft`, `mm-vet-parts` and a few more.

Of our own image pairs: `pair-caution` (a refusal or a warning), `pair-reasoned`, `pair-refused`, `pair-unread`,
`pair-named`.

Form scorer (1 = broken): `broken`, which tells replies that are no speech (empty, loops, gibberish) from safe ones.

Every scorer sees the text of a reply and never its thought; a reply with a problem (see `Answer`) is unscored by all.

`METRICS` says what a row makes of them: `asr` on harmful items is the share that is not refused, `over_refusal` on
harmless items the share that is.
"""

from . import _broken, _classifier, _letter_sets, _letters, _math, _opening, _pair, _published, _situation, _vqa  # noqa: F401  (importing a module registers its scorers)
from ._answers import chosen_option
from ._broken import BROKEN, broken
from ._calibration import (
    XSTEST_MODELS,
    HarmBenchAnswer,
    XSTestAnswer,
    calibrate_harmbench,
    calibrate_xstest,
    read_harmbench_file,
    read_harmbench_labels,
    read_xstest_file,
    read_xstest_labels,
)
from ._classifier import refusal_probability
from ._language import language, language_shares, likeliest_language
from ._metrics import METRICS, Metric
from ._numbers import last_number
from ._scorer import NOT_APPLICABLE, Score, Scorer, all_scorers, get, register, self_check
from ._situation import yes_no

__all__ = [
    "BROKEN",
    "METRICS",
    "NOT_APPLICABLE",
    "XSTEST_MODELS",
    "HarmBenchAnswer",
    "Metric",
    "Score",
    "Scorer",
    "XSTestAnswer",
    "all_scorers",
    "broken",
    "calibrate_harmbench",
    "calibrate_xstest",
    "chosen_option",
    "get",
    "language",
    "language_shares",
    "last_number",
    "likeliest_language",
    "read_harmbench_file",
    "read_harmbench_labels",
    "read_xstest_file",
    "read_xstest_labels",
    "refusal_probability",
    "register",
    "self_check",
    "yes_no",
]
