"""The arms of a tournament and what is measured of them: the same items for all, a folder for each seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from counterpoise.base import Direction, InputError, Row

from .._change import Family, family_of
from .._folder import EvalFolder
from .._headline import verdict_rows
from .._values import item_values, reproduces
from .._words import metric_name

Unit = tuple[str, str, str]
"""(row's benchmark, metric, id of the item)."""


class Measure(NamedTuple):
    """One column of the tournament. Capability and broken replies are pooled over everything that measures them."""

    metric: str
    modality: str
    direction: Direction

    @property
    def family(self) -> Family:
        return family_of(self.metric)

    @property
    def title(self) -> str:
        name = "Capability" if self.metric == "capability" else metric_name(self.metric)
        return name if self.modality == "all" else f"{name}, {self.modality}"

    @property
    def key(self) -> str:
        """`asr[print]`, `capability`."""
        return self.metric if self.modality == "all" else f"{self.metric}[{self.modality}]"


@dataclass(frozen=True)
class Arm:
    """One entrant: what was done to the model, and its evaluations, one for each seed."""

    name: str
    method: str = ""
    """Empty: the model as it is."""
    folders: Mapping[int, EvalFolder] = field(default_factory=dict)
    """By seed. The untouched model has one."""
    rows: int | None = None
    """Rows it was trained on, in each seed; None: the method trains on none, or does not say."""
    seconds: float | None = None
    """Mean seconds of making it, data included."""
    settings: str = ""
    """What was set, in words."""
    problem: str = ""
    """Why it is not measured, or not with every seed."""

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted(self.folders))

    def values(self, measure: Measure) -> list[dict[Unit, tuple[float | None, str]]]:
        """Of each seed, by unit: the value and its cluster."""
        return [_values(measure, self.folders[seed]) for seed in self.seeds]


def measures(base: EvalFolder) -> list[Measure]:
    """What the evaluation of the untouched model measures: the rows that a verdict counts, pooled over benchmarks."""
    found: dict[Measure, None] = {}
    order: Sequence[Family] = ("safety", "form", "capability")
    for row in sorted(verdict_rows(base.rows), key=lambda row: order.index(family_of(row.metric))):
        found.setdefault(_measure(row))
    return list(found)


def scorers(base: EvalFolder) -> str:
    """Who judged what, in words: `asr, over_refusal by counterpoise-refusal:v3; broken by broken:v2`."""
    found: dict[str, dict[str, None]] = {}
    for row in verdict_rows(base.rows):
        found.setdefault(row.scorer, {}).setdefault(row.metric)
    return "; ".join(f"{', '.join(metrics)} by {scorer}" for scorer, metrics in found.items())


def _measure(row: Row) -> Measure:
    family = family_of(row.metric)
    if family == "capability":
        return Measure("capability", "all", "higher")
    return Measure(row.metric, "all" if family == "form" else row.modality, row.direction)


def _values(measure: Measure, folder: EvalFolder) -> dict[Unit, tuple[float | None, str]]:
    found: dict[Unit, tuple[float | None, str]] = {}
    for row in verdict_rows(folder.rows):
        if _measure(row) != measure:
            continue
        values = item_values(row, folder.items)
        if not reproduces(row, values):  # a mean over groups: its items do not add up to it
            continue
        flip = measure.direction != row.direction
        for id_, (value, cluster) in values.items():
            turned = 1 - value if flip and value is not None else value
            found.setdefault((row.benchmark, row.metric, id_), (turned, f"{row.benchmark.split('/')[0]}/{cluster}"))
    return found


def check_same(arms: Sequence[Arm]) -> None:
    """Raises InputError when two arms were not asked the same things: ids, prompts, images or scorers differ."""
    first: tuple[str, EvalFolder] | None = None
    for arm in arms:
        for seed, folder in arm.folders.items():
            name = f"{arm.name} (seed {seed})"
            if first is None:
                first = name, folder
                continue
            other = _differs(first[1], folder)
            if other:
                raise InputError(f"{folder.path}: {name} and {first[0]} differ in {other}; evaluate both alike")


def _differs(a: EvalFolder, b: EvalFolder) -> str:
    if a.items.keys() != b.items.keys():
        return f"their items ({len(a.items.keys() ^ b.items.keys())} are only in one)"
    for key in a.items:
        if (a.items[key].prompt, a.items[key].images) != (b.items[key].prompt, b.items[key].images):
            return f"what {key[0]} {key[1]} asks"
    if {(row.benchmark, row.metric, row.scorer) for row in a.rows} != {
        (row.benchmark, row.metric, row.scorer) for row in b.rows
    }:
        return "their scorers"
    return ""
