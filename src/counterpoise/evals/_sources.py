"""What can be fetched: the sources that benchmarks declare, and those of training rows and judges' labels."""

from collections.abc import Sequence

from counterpoise.base import InputError
from counterpoise.data.sources import MORE, Source, folded

from ._registry import benchmark, benchmarks


def all_sources() -> dict[str, Source]:
    """Every source by its name: first those of benchmarks, then those of methods and judges.

    Raises InputError when two different sources have one name.
    """
    found: dict[str, Source] = {}
    for source in (*(each for card in benchmarks().values() for each in card.data), *MORE):
        if found.setdefault(source.name, source) != source:
            raise InputError(f"source {source.name}: declared twice, differently; rename one")
    return found


def sources_of(names: Sequence[str], *, missing: bool = False) -> list[Source]:
    """The sources of benchmarks by name, each once; with `missing` only of benchmarks whose rows are not all here.

    Raises InputError for an unknown benchmark.
    """
    cards = [benchmark(name) for name in names]
    return list(folded(each for card in cards if not missing or card.available() for each in card.data))
