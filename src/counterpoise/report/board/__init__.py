"""A local results board: own runs beside published numbers, with rank intervals that never cross scorers.

`Board` is the file, `run_entries` and `read_literature` fill it, `write_pages` and `make_server` show it.
"""

from ._calibrated import read_calibrations, uncalibrated
from ._compare import compare_page, judgement, pairs
from ._entry import Entry, Group
from ._literature import packaged, parse_literature, read_literature
from ._own import run_entries
from ._pages import pages, write_pages
from ._scatter import trade_offs
from ._server import make_server
from ._shell import page_name
from ._standing import Standing, standings
from ._store import Board

__all__ = [
    "Board",
    "Entry",
    "Group",
    "Standing",
    "compare_page",
    "judgement",
    "make_server",
    "packaged",
    "page_name",
    "pages",
    "pairs",
    "parse_literature",
    "read_calibrations",
    "read_literature",
    "run_entries",
    "standings",
    "trade_offs",
    "uncalibrated",
    "write_pages",
]
