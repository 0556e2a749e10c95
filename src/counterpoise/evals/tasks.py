"""Inspect tasks by name, found through the entry point: `inspect eval counterpoise/twins --model ...`.

Each of our benchmarks is a task of the same name, with `_` or `-` between words; `counterpoise/benchmark -T name=...`
runs any benchmark, those of installed packages too. No row is read before a task is made.
"""

from inspect_ai import Task
from inspect_ai import task as _task

from .cards import CARDS


@_task
def benchmark(name: str) -> Task:
    """Any benchmark that `counterpoise list benchmarks` names."""
    from ._registry import benchmark as find
    from ._task import task

    card = find(name)
    return task(card, card.samples())


def _declare(name: str) -> None:
    def made() -> Task:
        from ._registry import benchmark as find
        from ._task import task

        card = find(name)
        return task(card, card.samples())

    made.__doc__ = f"The benchmark {name}."
    for spelling in {name, name.replace("-", "_")}:
        _task(name=spelling)(made)


for _card in CARDS:
    _declare(_card.name)

__all__ = ["benchmark"]
