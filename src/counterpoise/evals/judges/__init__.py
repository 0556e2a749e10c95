"""Judges: one protocol for keyword lists, local classifiers, LLM rubrics and panels, each with its measured error.

A judge reads cases (conversation, images, answer) and gives each a label, or says why it cannot. `calibrate` measures
a judge on human labels, `corrected` puts rates corrected for its errors beside the raw ones.
"""

from ._agreement import ceiling, cohen_kappa
from ._calibrate import calibrate
from ._classifier import ClassifierJudge
from ._classifier_kinds import CONVERSATION, KINDS
from ._correction import Calibration, corrected, load_calibration, save_calibration
from ._journal import VerdictJournal, verdicts
from ._keywords import KeywordJudge, keyword_judges
from ._labels import Labelled, LabelSet, read_labels
from ._llm import RubricJudge
from ._make import RUBRICS, known_judges, make_judge
from ._outputs import safe_unsafe, wildguard_lines
from ._panel import Panel
from ._protocol import (
    Case,
    Done,
    Extra,
    Facts,
    Judge,
    Judgement,
    Unjudgeable,
    judge_all,
    judge_id,
    unready,
    unscored,
)
from ._rejudge import Judged, case, items_file, judge_run, read_items, slug
from ._rubric import Authors, OffFormat, Read, Rubric, before_last_line, last_line
from ._sanitise import clean, fence, quiet
from ._templates import LLAMA_GUARD_CATEGORIES, WILDGUARD, llama_guard
from ._tries import Tries
from ._wording import Wording, Words

__all__ = [
    "CONVERSATION",
    "KINDS",
    "LLAMA_GUARD_CATEGORIES",
    "RUBRICS",
    "WILDGUARD",
    "Authors",
    "Calibration",
    "Case",
    "ClassifierJudge",
    "Done",
    "Extra",
    "Facts",
    "Judge",
    "Judged",
    "Judgement",
    "KeywordJudge",
    "LabelSet",
    "Labelled",
    "OffFormat",
    "Panel",
    "Read",
    "Rubric",
    "RubricJudge",
    "Tries",
    "Unjudgeable",
    "VerdictJournal",
    "Wording",
    "Words",
    "before_last_line",
    "calibrate",
    "case",
    "ceiling",
    "clean",
    "cohen_kappa",
    "corrected",
    "fence",
    "items_file",
    "judge_all",
    "judge_id",
    "judge_run",
    "keyword_judges",
    "known_judges",
    "last_line",
    "llama_guard",
    "load_calibration",
    "make_judge",
    "quiet",
    "read_items",
    "read_labels",
    "safe_unsafe",
    "save_calibration",
    "slug",
    "unready",
    "unscored",
    "verdicts",
    "wildguard_lines",
]
