"""Our benchmarks. A module of this folder is one family, with its cards in `CARDS`; published tables of single prompts
are rows of one table, in `_text_sets`."""

from importlib import import_module
from pkgutil import iter_modules

from .._benchmark import Benchmark


def _found() -> tuple[Benchmark, ...]:
    """The cards of every module, by name of the module; those that bring their own rows first."""
    modules = [import_module(f"{__name__}.{each.name}") for each in iter_modules(__path__)]
    cards: list[Benchmark] = [card for module in modules for card in getattr(module, "CARDS", ())]
    return tuple(sorted(cards, key=lambda card: bool(card.data)))


CARDS = _found()

__all__ = ["CARDS"]
