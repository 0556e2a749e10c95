"""Public rows on request: what a source declares, and fetching it into the data folder with its licence shown.

    SOURCE = Source("mine", "My rows", GitHub("me/rows", commit), (Take("test.csv", "mine/test.csv"),), licence="MIT")
    fetch_all([SOURCE], data_home(), ask)

Nothing here runs unless it is called for: no reader downloads.
"""

from ._datacard import DataCard, Kept, differences, read_card, read_cards
from ._fetch import Fetched, Plan, fetch, fetch_all, interrupted, locked, plan, present
from ._more import MORE
from ._source import (
    GB,
    MB,
    AlsoNamed,
    AnyOf,
    GitHub,
    Hub,
    Listing,
    Pictures,
    Release,
    Remote,
    Source,
    Take,
    Unzip,
    folded,
)

__all__ = [
    "GB",
    "MB",
    "MORE",
    "AlsoNamed",
    "AnyOf",
    "DataCard",
    "Fetched",
    "GitHub",
    "Hub",
    "Kept",
    "Listing",
    "Pictures",
    "Plan",
    "Release",
    "Remote",
    "Source",
    "Take",
    "Unzip",
    "differences",
    "fetch",
    "fetch_all",
    "folded",
    "interrupted",
    "locked",
    "plan",
    "present",
    "read_card",
    "read_cards",
]
