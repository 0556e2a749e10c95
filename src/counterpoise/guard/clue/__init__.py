"""CLUE: zero-shot judging of images by a written constitution (Wang et al., CVPR 2025, arXiv 2501.00192).

clue = make_clue("pocket", "rules.yaml")
[verdict] = clue.judge([Image.from_path("page.png")])

Rules are cut down by relevance, split into chains of preconditions, and each precondition is decided by debiased
yes/no probabilities of a vision-language model, or by reasoning where these do not decide. Start with `decide`.
"""

from ._ask import Asker, EngineAsker, Query
from ._baselines import BASELINES, baseline, baseline_readings
from ._chain import Settings
from ._constants import Calibration, Tried, calibrate_judge, load_calibration
from ._constitution import (
    Central,
    Constitution,
    Group,
    Rule,
    load_constitution,
    parse_constitution,
    read_central,
    save_constitution,
)
from ._decide import PAPER, Constants, Decided, all_of, any_of, decide, yes_share
from ._guard import ClueGuard, explain, make_clue, make_encoder, make_guard
from ._icons import holds, icon_constitution, icon_set, with_print, write_icons
from ._judge import Clue
from ._measure import LabelledImage, Rates, f1_interval, per_rule, rates, read_folder
from ._owl import OwlDetector
from ._page import VERDICTS, about, html, save_run
from ._picture import picture
from ._prepare import (
    Prepared,
    inspect_asker,
    objectify,
    prepare,
    prepare_file,
    prepare_rule,
    read_central_line,
    read_guideline,
    read_objectiveness,
    read_preconditions,
)
from ._prompts import Rated, read_rating
from ._regions import FILLS, Detector, combine, is_small, only, without
from ._scan import Calibrated, ClipEncoder, Encoder, Scan, calibrate, keep, scan_with
from ._values import Box, Evidence, Found, ImageVerdict, Reading, RuleFinding, Scanned
from ._wording import PAPER_WORDING, WORDINGS, Wording

__all__ = [
    "BASELINES",
    "FILLS",
    "PAPER",
    "PAPER_WORDING",
    "VERDICTS",
    "WORDINGS",
    "Asker",
    "Box",
    "Calibrated",
    "Calibration",
    "Central",
    "ClipEncoder",
    "Clue",
    "ClueGuard",
    "Constants",
    "Constitution",
    "Decided",
    "Detector",
    "Encoder",
    "EngineAsker",
    "Evidence",
    "Found",
    "Group",
    "ImageVerdict",
    "LabelledImage",
    "OwlDetector",
    "Prepared",
    "Query",
    "Rated",
    "Rates",
    "Reading",
    "Rule",
    "RuleFinding",
    "Scan",
    "Scanned",
    "Settings",
    "Tried",
    "Wording",
    "about",
    "all_of",
    "any_of",
    "baseline",
    "baseline_readings",
    "calibrate",
    "calibrate_judge",
    "combine",
    "decide",
    "explain",
    "f1_interval",
    "holds",
    "html",
    "icon_constitution",
    "icon_set",
    "inspect_asker",
    "is_small",
    "keep",
    "load_calibration",
    "load_constitution",
    "make_clue",
    "make_encoder",
    "make_guard",
    "objectify",
    "only",
    "parse_constitution",
    "per_rule",
    "picture",
    "prepare",
    "prepare_file",
    "prepare_rule",
    "rates",
    "read_central",
    "read_central_line",
    "read_folder",
    "read_guideline",
    "read_objectiveness",
    "read_preconditions",
    "read_rating",
    "save_constitution",
    "save_run",
    "scan_with",
    "with_print",
    "without",
    "write_icons",
    "yes_share",
]
