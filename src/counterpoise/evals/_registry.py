"""Which benchmarks exist: ours, and those of installed packages."""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from counterpoise.base import InputError

from ._benchmark import Benchmark

GROUP = "counterpoise.benchmarks"
"""Entry-point group of third parties: each entry is a `Benchmark`, or a function that returns one."""

Maker = Callable[[], Benchmark]
_own: dict[str, Maker] = {}


def register(name: str) -> Callable[[Maker], Maker]:
    """Decorate a function that makes a card. It is called whenever the card is asked for, so that what it says of the
    data folder is true now. Raises InputError when the name is taken."""

    def add(make: Maker) -> Maker:
        if name in _own:
            raise InputError(f"benchmark {name}: registered twice; choose another name")
        _own[name] = make
        return make

    return add


def benchmarks() -> dict[str, Benchmark]:
    """All benchmarks by name. Raises InputError for a third-party entry that is no benchmark or takes a known name."""
    import counterpoise.evals.cards  # noqa: F401 (registers ours)

    found = {name: make() for name, make in _own.items()}
    for point in entry_points(group=GROUP):
        loaded = point.load()
        card = loaded() if callable(loaded) else loaded
        if not isinstance(card, Benchmark):
            raise InputError(f"entry point {point.value} ({GROUP}): expected a Benchmark, got {type(card).__name__}")
        if card.name in found:
            raise InputError(f"entry point {point.value} ({GROUP}): the benchmark name {card.name!r} is taken")
        found[card.name] = card
    return found


def benchmark(name: str) -> Benchmark:
    """One benchmark by name, the one that a YAML file describes (see `own`), or a task of `inspect_evals/`.

    Raises InputError that suggests the nearest name and lists the known ones, or says what is wrong with the file.
    """
    if name.startswith("inspect_evals/"):
        from .inspect import load_theirs

        return load_theirs(name)
    known = benchmarks()
    if name.endswith((".yaml", ".yml")):
        from .own import load_own

        card = load_own(Path(name))
        if card.name in known:
            raise InputError(f"{name}: name: {card.name!r} is the name of a known benchmark; choose another one")
        return card
    if name not in known:
        raise InputError.unknown("benchmark", name, sorted(known))
    return known[name]
