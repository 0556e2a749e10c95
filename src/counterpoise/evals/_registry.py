"""Which benchmarks exist, ours and those of installed packages, and what can be fetched for them."""

import re
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from counterpoise.base import InputError
from counterpoise.data.sources import MORE, Source, folded

from ._benchmark import Benchmark
from .cards import CARDS
from .own import load_own

GROUP = "counterpoise.benchmarks"
"""Entry-point group of third parties: each entry is a `Benchmark`, or a function that returns one."""

_own: dict[str, Callable[[], Benchmark]] = {card.name: card.now for card in CARDS}


def register(card: Benchmark) -> None:
    """Make a card known in this process, as a script or a notebook wants it; a package has the entry point. Raises
    InputError when the name is taken."""
    if card.name in benchmarks():
        raise InputError(f"benchmark {card.name}: registered twice; choose another name")
    _own[card.name] = card.now


def benchmarks() -> dict[str, Benchmark]:
    """All benchmarks by name. Raises InputError for a third-party entry that is no benchmark or takes a known name."""
    found = {name: now() for name, now in _own.items()}
    for point in entry_points(group=GROUP):
        loaded = point.load()
        card = loaded() if callable(loaded) else loaded
        if not isinstance(card, Benchmark):
            raise InputError(f"entry point {point.value} ({GROUP}): expected a Benchmark, got {type(card).__name__}")
        if card.name in found:
            raise InputError(f"entry point {point.value} ({GROUP}): the benchmark name {card.name!r} is taken")
        found[card.name] = card.now()
    return found


def benchmark(name: str) -> Benchmark:
    """One benchmark by name, the one that a YAML file describes (see `own`), a task of `inspect_evals/`, or the
    one-word probe of a benchmark (`one-word/NAME`, `one-word:What,Share/NAME`).

    Raises InputError that suggests the nearest name and lists the known ones, or says what is wrong with the file.
    """
    if probe := re.fullmatch(r"one-word(?::([^,/]+),([^,/]+))?/(.+)", name):
        from ._one_word import ANSWERED, REFUSED, probed

        return probed(benchmark(probe[3]), probe[1] or ANSWERED, probe[2] or REFUSED)
    if name.startswith("inspect_evals/"):
        from .inspect import load_theirs

        return load_theirs(name)
    known = benchmarks()
    if name.endswith((".yaml", ".yml")):
        card = load_own(Path(name), benchmark)
        if card.name in known:
            raise InputError(f"{name}: name: {card.name!r} is the name of a known benchmark; choose another one")
        return card
    if name not in known:
        raise InputError.unknown("benchmark", name, sorted(known))
    return known[name]


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
