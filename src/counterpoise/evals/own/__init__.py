"""A benchmark of your own: a short YAML beside a table of rows becomes a card, without a line of Python."""

from ._card import load_own
from ._settings import OwnBenchmark

__all__ = ["OwnBenchmark", "load_own"]
