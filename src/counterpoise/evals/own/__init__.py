"""A benchmark of your own: a short YAML beside a table of rows becomes a card, without a line of Python. Published
tables of prompts are read by the same columns."""

from ._card import load_own
from ._framed import FramedBenchmark, framed
from ._rows import Columns
from ._settings import OwnBenchmark

__all__ = ["Columns", "FramedBenchmark", "OwnBenchmark", "framed", "load_own"]
