"""Named sets of benchmarks. Which are in a suite, and with how many of their rows, their cards say."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from counterpoise.base import InputError

from ._registry import benchmarks
from .cards import CARDS


@dataclass(frozen=True)
class Suite:
    """Benchmarks under one name; those whose rows are not here are skipped with the reason."""

    name: str
    title: str
    benchmarks: tuple[str, ...]
    caps: Mapping[str, int] = field(default_factory=dict)
    """At most so many rows of a benchmark, spread evenly over its file: always the same ones."""
    composite: Mapping[str, str] = field(default_factory=dict)
    """For a suite with one number over its benchmarks: the metric that each of them gives to the mean."""


TITLES = {
    "smoke": "A first look: Twins validation families and two capability tests",
    "core": "Safety, over-refusal and capability, in text and images",
    "safety": "Refusal of harmful requests in text; drift on users' prompts",
    "over-refusal": "Refusal of harmless requests in text that look harmful",
    "pairs": "Two pictures that are harmful only together, with safe twins and controls",
    "reasoning": "Mathematics, science and general knowledge in text",
}
COMPOSITE = {"safety": "asr", "over-refusal": "over_refusal", "reasoning": "accuracy"}
"""Suites of the literature, with the metric that their number is the mean of. A member without that metric has rows of
its own and no part in the number: nobody labelled the prompts of WildChat, so a refusal there is not safety."""


def suite(name: str) -> Suite:
    """One suite by name. Raises InputError that suggests the nearest name."""
    known = suites()
    if name not in known:
        raise InputError.unknown("suite", name, known)
    return known[name]


def suites() -> dict[str, Suite]:
    """`smoke` (a few minutes on two cores), `core` (all that says something about a small model), `full` (everything),
    and the composite suites of the literature: `safety`, `over-refusal`, `reasoning`."""
    made = {name: _made(name) for name in TITLES}
    return made | {"full": Suite("full", "Every known benchmark", tuple(benchmarks()))}


def _made(name: str) -> Suite:
    places = [(card, place) for card in CARDS for place in card.suites if place.suite == name]
    return Suite(
        name,
        TITLES[name],
        tuple(card.name for card, _ in places),
        {card.name: place.cap for card, place in places if place.cap is not None},
        {card.name: COMPOSITE[name] for card, _ in places if COMPOSITE.get(name) in card.metrics},
    )
