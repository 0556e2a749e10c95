"""Guards: what stands in front of a deployed model and says of every exchange whether it may pass."""

from ._labelled import Labelled, counted, from_sample, read_labelled
from ._registry import known_guards, make_guard
from ._values import (
    Exchange,
    Guard,
    Inspected,
    Label,
    Sees,
    Severity,
    Verdict,
    identity,
    prepare,
    unknown,
    unseen,
    worst,
)

__all__ = [
    "Exchange",
    "Guard",
    "Inspected",
    "Label",
    "Labelled",
    "Sees",
    "Severity",
    "Verdict",
    "counted",
    "from_sample",
    "identity",
    "known_guards",
    "make_guard",
    "prepare",
    "read_labelled",
    "unknown",
    "unseen",
    "worst",
]
