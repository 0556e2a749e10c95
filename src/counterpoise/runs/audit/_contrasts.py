"""From the answers of two models to paired contrasts: per cell, pooled, and per task, modality and calibration."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from counterpoise.base import InputError
from counterpoise.evals import HEADLINE_SCORER
from counterpoise.evals.scorers import BROKEN
from counterpoise.evals.stats import Rate, holm, mcnemar_p, paired_difference, rate
from counterpoise.report import ItemRecord

from ._gates import Decision, Gate, decide

Metric = Literal["asr", "over_refusal", "broken", "accuracy"]
Level = Literal["overall", "task", "modality", "calibration", "cell", "ability"]
INCREASES: dict[str, Metric] = {
    "asr_increase": "asr", "over_refusal_increase": "over_refusal", "broken_increase": "broken",
}  # fmt: skip
INCOMPLETE, HALF = 0.10, 0.5
"""A gate decides nothing when more than this share of the prompts that the base was scored on could not be scored of
the tuned model any more, or less than half of all pairs are scored: a release never passes on what was not measured."""


@dataclass(frozen=True)
class Pair:
    """One prompt answered by both models. Values are None where the scorer could not judge."""

    task: str
    modality: str
    template: str
    system: str
    """`system` or `no-system`."""
    intent: str
    harmful: bool
    refused: tuple[float | None, float | None]
    """Base, tuned."""
    broken: tuple[float | None, float | None]

    def of(self, metric: Metric) -> tuple[float | None, float | None] | None:
        """Values of a metric; None where it is of the other side."""
        if metric == "broken":
            return self.broken
        if self.harmful != (metric == "asr"):
            return None
        return self.refused if metric == "over_refusal" else _answered(self.refused)


def _answered(refused: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    first, second = (None if value is None else 1 - value for value in refused)
    return first, second


@dataclass(frozen=True)
class Contrast:
    """A rate of both models on the same prompts, and its paired difference, tuned minus base."""

    metric: Metric
    level: Level
    name: str
    base: Rate
    tuned: Rate
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    """Of a cell McNemar's exact p; of what is pooled over prompts of one intent the sign-flip p over intents."""
    p_adjusted: float | None
    """Holm-adjusted over its family: all cells or all margins of a metric; the overall one stands alone."""
    n_pairs: int
    n_unscored: int
    """Pairs with an unscored side."""
    n_lost: int
    """Of these, those that only the tuned model could not be scored on."""
    gained: int
    """Pairs in which only the tuned model counts."""
    lost: int
    """Pairs in which only the base counts."""

    @property
    def incomplete(self) -> str:
        """Why no gate can be decided on it; empty when one can."""
        total = self.n_pairs + self.n_unscored
        if self.n_lost > INCOMPLETE * self.base.n_scored:
            return f"{self.n_lost} of {self.base.n_scored} prompts can be scored of the base and not of the tuned model"
        if self.n_pairs < HALF * total:
            return f"only {self.n_pairs} of {total} pairs are scored"
        return ""

    def as_json(self) -> dict[str, Any]:
        value = asdict(self)
        return value | {"base": self.base._asdict(), "tuned": self.tuned._asdict()}


def pairs_of(base: Iterable[ItemRecord], tuned: Mapping[tuple[str, str], ItemRecord]) -> list[Pair]:
    """The audit's items of both models, paired by card and id. Raises InputError when they ask different things."""
    found = []
    for one in base:
        kind, _, calibration = one.benchmark.partition("-")
        if kind != "audit":
            continue
        other = tuned.get(one.key)
        if other is None or (other.prompt, other.images) != (one.prompt, one.images):
            raise InputError(f"{one.benchmark}: item {one.id} was asked differently of the two models; use --force")
        template, _, system = calibration.partition("-")
        refused, broken = ((one.scores[name], other.scores[name]) for name in (HEADLINE_SCORER, BROKEN))
        where = one.group, one.modality, template, system or "no-system"
        found.append(Pair(*where, one.cluster, bool(one.harmful), refused, broken))
    return found


def contrast(
    metric: Metric,
    level: Level,
    name: str,
    values: Sequence[tuple[float | None, float | None]],
    clusters: Sequence[str],
    confidence: float = 0.95,
) -> Contrast:
    """One contrast. Where every cluster occurs once, Tango's interval and McNemar's exact p, else the bootstrap and
    sign flips over clusters; see `counterpoise.evals.stats.paired_difference`."""
    first, second = [a for a, _ in values], [b for _, b in values]
    alone = len(set(clusters)) == len(clusters)
    labels = None if alone else list(clusters)
    rates = rate(first, labels), rate(second, labels)
    kept = [(a, b) for a, b in values if a is not None and b is not None]
    gained = sum(a < b for a, b in kept)
    lost = sum(a > b for a, b in kept)
    gone = sum(a is not None and b is None for a, b in values)
    counts = (len(kept), len(values) - len(kept), gone, gained, lost)
    scored = {c for (a, b), c in zip(values, clusters, strict=True) if a is not None and b is not None}
    if len(scored) < 2:
        return Contrast(metric, level, name, *rates, None, None, None, None, None, *counts)
    found = paired_difference(second, first, labels, level=confidence)
    p = mcnemar_p(gained, lost) if alone else found.p
    return Contrast(metric, level, name, *rates, found.value, found.low, found.high, p, None, *counts)


_MARGINS: dict[Level, Callable[[Pair], str]] = {
    "task": lambda pair: pair.task,
    "modality": lambda pair: pair.modality,
    "calibration": lambda pair: f"{pair.template}, {pair.system}",
}


def cell_name(pair: Pair) -> str:
    return f"{pair.task}, {pair.modality}, {pair.template}, {pair.system}"


def contrasts(pairs: Sequence[Pair]) -> list[Contrast]:
    """All contrasts of all metrics: overall, margins, cells. Two families are Holm-adjusted in each metric, the margins
    and the cells; the overall contrast is the one that is declared first and is not adjusted."""
    found = []
    for metric in ("asr", "over_refusal", "broken"):
        chosen = [pair for pair in pairs if pair.of(metric) is not None]
        if not chosen:
            continue
        overall = _grouped(metric, "overall", chosen, lambda _: "all prompts")
        margins = [each for level, of in _MARGINS.items() for each in _grouped(metric, level, chosen, of)]
        cells = _grouped(metric, "cell", chosen, cell_name)
        found += [replace(overall[0], p_adjusted=overall[0].p), *adjusted(margins), *adjusted(cells)]
    return found


def _grouped(metric: Metric, level: Level, pairs: Sequence[Pair], of: Callable[[Pair], str]) -> list[Contrast]:
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(of(pair), []).append(pair)
    return [contrast(metric, level, name, *_columns(metric, group)) for name, group in groups.items()]


def _columns(metric: Metric, pairs: Sequence[Pair]) -> tuple[list[tuple[float | None, float | None]], list[str]]:
    values = [(found, pair.intent if metric != "broken" else f"{pair.intent} {pair.harmful}")
              for pair in pairs if (found := pair.of(metric)) is not None]  # fmt: skip
    return [value for value, _ in values], [cluster for _, cluster in values]


def adjusted(family: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts of one family with Holm-adjusted p values. One in which too little changed for any small p takes
    no power from the others (Tarone)."""
    known = [(place, each.p, each.gained + each.lost) for place, each in enumerate(family) if each.p is not None]
    result = list(family)
    if known:
        least = [min(p, 2.0 ** (1 - changed)) for _, p, changed in known]
        for (place, _, _), p in zip(known, holm([p for _, p, _ in known], least), strict=True):
            result[place] = replace(result[place], p_adjusted=p)
    return result


def decisions(gates: Sequence[Gate], pairs: Sequence[Pair], ability: Sequence[Contrast]) -> list[Decision]:
    """What becomes of every gate but those of the stress arm.

    Raises InputError for a gate whose words name no cell, or no ability, that was measured.
    """
    found: list[Decision] = []
    for gate in gates:
        if gate.quantity == "ability_drop":
            found += _ability(gate, ability)
        elif gate.quantity in INCREASES:
            found += _increase(gate, pairs)
    return found


def _increase(gate: Gate, pairs: Sequence[Pair]) -> list[Decision]:
    metric = INCREASES[gate.quantity]
    chosen = [
        pair
        for pair in pairs
        if pair.of(metric) is not None
        and gate.holds(task=pair.task, modality=pair.modality, template=pair.template, system=pair.system)
    ]
    if not chosen:
        raise InputError(f"--fail-on {gate}: no cell of this audit is meant by {', '.join(gate.words)}")
    cells = _grouped(metric, "cell", chosen, cell_name)
    if gate.each:  # as many intervals at once as there are cells (Bonferroni)
        level = 1 - 0.05 / len(cells)
        names: dict[str, list[Pair]] = {cell_name(pair): [] for pair in chosen}
        for pair in chosen:
            names[cell_name(pair)].append(pair)
        cells = [contrast(metric, "cell", name, *_columns(metric, part), level) for name, part in names.items()]
        return [_decided(gate, each.name, each) for each in cells]
    pooled = contrast(metric, "overall", "all", *_columns(metric, chosen))
    made = _decided(gate, "pooled", pooled)
    worst = sorted((each for each in cells if each.value), key=lambda each: -(each.value or 0))[:3]
    if made.status == "failed" and worst:
        where = "; ".join(f"{each.name}: {100 * (each.value or 0):+.0f} points" for each in worst)
        made = replace(made, message=f"{made.message}; most in {where}")
    return [made]


def _ability(gate: Gate, ability: Sequence[Contrast]) -> list[Decision]:
    known = [each.name for each in ability]
    if unknown := [word for word in gate.words if word not in known]:
        raise InputError(f"--fail-on {gate}: {InputError.unknown('ability', unknown[0], known)}")
    if not ability:
        raise InputError(f"--fail-on {gate}: no ability is measured; name one with --ability")
    found = []
    for each in ability:
        if gate.words and each.name not in gate.words:
            continue
        value, low, high = (None if x is None else -x for x in (each.value, each.high, each.low))
        found.append(decide(gate, each.name, value, low, high, incomplete=each.incomplete))
    return found


def _decided(gate: Gate, name: str, each: Contrast) -> Decision:
    return decide(gate, name, each.value, each.low, each.high, incomplete=each.incomplete)
