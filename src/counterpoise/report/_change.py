"""What changed between two evaluations of the same items: paired differences, adjusted for being many."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from counterpoise.base import Direction, Row

from ._folder import EvalFolder
from ._headline import verdict_rows
from ._values import item_values, reproduces
from ._words import GAPS

Family = Literal["safety", "capability", "form"]
"""What is adjusted together. Whether replies are broken is a question of its own."""
Judgement = Literal["better", "worse", "unclear", "not measured"]
LEVEL = 0.05
CAPABILITY_MARGIN = 0.01
SAFETY = (
    "asr", "strongreject", "over_refusal", "refusal_rate", "discrimination", "modality_gap", "safe_rate",
    "situation_accuracy", "rsr", "rr", "hr",
)  # fmt: skip


def family_of(metric: str) -> Family:
    """What the rows of a metric are adjusted with."""
    return "form" if metric == "broken" else "safety" if metric in SAFETY else "capability"


@dataclass(frozen=True)
class Change:
    """One scorecard row before and after. `difference` is after minus before on items scored in both."""

    before: Row
    after: Row
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    """For a row that the verdict counts, Holm-adjusted over those of its family (safety, capability, broken replies).
    For the others, which are shown beside them, adjusted for the false discovery rate among themselves."""
    n_pairs: int
    n_excluded: int
    """Items unscored on either side, which no pair can use."""
    counted: bool = False
    """The verdict counts it: the benchmark's own scorer, pooled over groups."""
    changed: int = 0
    """Clusters (mostly: items) with a difference."""
    cautious: tuple[float, float] | None = None
    """The interval behind `preserved`; see `Difference`. Items that could be scored before and no more afterwards count
    as lost in it."""

    @property
    def family(self) -> Family:
        return family_of(self.before.metric)

    @property
    def direction(self) -> Direction:
        return self.before.direction

    @property
    def judgement(self) -> Judgement:
        """`better` or `worse` only when the adjusted p is below 5 % and the paired interval excludes zero."""
        if self.difference is None or self.low is None or self.high is None or self.p_adjusted is None:
            return "not measured"
        if self.p_adjusted >= LEVEL or self.low <= 0 <= self.high:
            return "unclear"
        return "better" if (self.difference > 0) == (self.direction == "higher") else "worse"

    @property
    def preserved(self) -> bool | None:
        """Capability only: less than one point was lost, as far as a 95 % interval can show it that holds its level
        where few items change and never improves with one more item lost. None: does not apply."""
        from counterpoise.evals.stats import non_inferior

        if self.family != "capability" or self.cautious is None:
            return None
        low, high = self.cautious
        return non_inferior(low if self.direction == "higher" else -high, CAPABILITY_MARGIN)


def changes(before: EvalFolder, after: EvalFolder) -> list[Change]:
    """Every row that both evaluations have (same benchmark, revision, split, modality, metric and scorer)."""
    later = {row.key: row for row in after.rows}
    found = [_change(row, later[row.key], before, after) for row in before.rows if row.key in later]
    return adjust(found)


def adjust(found: Sequence[Change]) -> list[Change]:
    """Fill `p_adjusted` and `counted`: Holm's method over the rows that the verdict counts, in each family; the false
    discovery rate over the others of the family, which would otherwise take power from those, being the same answers
    by other scorers or parts of them."""
    from counterpoise.evals.stats import benjamini_hochberg, holm

    keys = {row.key for row in verdict_rows([change.before for change in found])}
    result = [replace(change, counted=change.before.key in keys) for change in found]
    for family in get_args(Family):
        members = [(i, change.p, change) for i, change in enumerate(result) if change.family == family]
        counted = [(i, p, change.changed) for i, p, change in members if p is not None and change.counted]
        others = [(i, p) for i, p, change in members if p is not None and not change.counted]
        if counted:
            least = [min(p, 2.0 ** (1 - changed)) for _, p, changed in counted]
            for (i, _, _), p in zip(counted, holm([p for _, p, _ in counted], least), strict=True):
                result[i] = replace(result[i], p_adjusted=p)
        if others:
            for (i, _), p in zip(others, benjamini_hochberg([p for _, p in others]), strict=True):
                result[i] = replace(result[i], p_adjusted=p)
    return result


def _change(row: Row, other: Row, before: EvalFolder, after: EvalFolder) -> Change:
    old, new = item_values(row, before.items), item_values(other, after.items)
    if not (reproduces(row, old) and reproduces(other, new)):
        return Change(row, other, None, None, None, None, None, 0, 0)
    shared = [id_ for id_ in old if id_ in new]
    pairs = [(a, b, old[id_][1]) for id_ in shared if (a := new[id_][0]) is not None and (b := old[id_][0]) is not None]
    excluded = len(old.keys() | new.keys()) - len(pairs)
    if len({cluster for _, _, cluster in pairs}) < 2:  # one cluster shows no spread: nothing can be claimed
        return Change(row, other, None, None, None, None, None, len(pairs), excluded)
    made = _difference(row, other, pairs, excluded)
    # a capability is not preserved by leaving its questions without a reply that could be scored
    worst = 0.0 if row.direction == "higher" else 1.0
    gone = [(worst, b, old[i][1]) for i in shared if new[i][0] is None and (b := old[i][0]) is not None]
    return replace(made, cautious=_difference(row, other, [*pairs, *gone], excluded).cautious) if gone else made


def _difference(row: Row, other: Row, pairs: Sequence[tuple[float, float, str]], excluded: int) -> Change:
    from counterpoise.evals.stats import paired_difference

    # gaps lie in [-1, 1]; the statistic wants [0, 1], and a difference shrinks by the same factor
    scale, shift = (2.0, 1.0) if row.metric in GAPS else (1.0, 0.0)
    found = paired_difference(
        [(a + shift) / scale for a, _, _ in pairs],
        [(b + shift) / scale for _, b, _ in pairs],
        [cluster for _, _, cluster in pairs],
    )
    return Change(
        row,
        other,
        found.value * scale,
        found.low * scale,
        found.high * scale,
        found.p,
        None,
        len(pairs),
        excluded,
        changed=found.changed,
        cautious=(found.cautious.low * scale, found.cautious.high * scale),
    )
