"""What a user reads: `report.html`, the terminal table, and the comparison of two evaluations.

Start with `EvalFolder` (a folder written by `counterpoise eval`), then `compare` and `write_report`.
"""

from ._attack import attack_table, write_attack
from ._change import Change, changes, family_of
from ._compare import Comparison, compare
from ._dose import DoseCurve, DosePoint, Estimate, load_curve, say_dose
from ._folder import EvalFolder, ItemRecord
from ._guard_cells import guard_tables
from ._guards import write_guards
from ._headline import headline_changes, headline_rows, verdict_rows
from ._html import files_beside, write_page, write_report
from ._inside import write_directions, write_weights
from ._next import next_step
from ._routing import routing_picture
from ._study import write_study
from ._terminal import scorer_line, short_table, terminal_table, unscored_line
from ._verdict import Verdict, verdict

__all__ = [
    "Change",
    "Comparison",
    "DoseCurve",
    "DosePoint",
    "Estimate",
    "EvalFolder",
    "ItemRecord",
    "Verdict",
    "attack_table",
    "changes",
    "compare",
    "family_of",
    "files_beside",
    "guard_tables",
    "headline_changes",
    "headline_rows",
    "load_curve",
    "next_step",
    "routing_picture",
    "say_dose",
    "scorer_line",
    "short_table",
    "terminal_table",
    "unscored_line",
    "verdict",
    "verdict_rows",
    "write_attack",
    "write_directions",
    "write_guards",
    "write_page",
    "write_report",
    "write_study",
    "write_weights",
]
