"""What changed between two evaluations of the same items: paired differences, Holm-adjusted within families."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from counterpoise.base import Direction, Row

from ._folder import EvalFolder
from ._values import item_values, reproduces
from ._words import GAPS

Family = Literal["safety", "capability", "form"]
"""What is adjusted together. Whether replies are broken is a question of its own."""
Judgement = Literal["better", "worse", "unclear", "not measured"]
LEVEL = 0.05
CAPABILITY_MARGIN = 0.01
SAFETY = ("asr", "over_refusal", "discrimination", "modality_gap")


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
    """Holm-adjusted within the row's family (all safety rows, all capability rows, all shares of broken replies)."""
    n_pairs: int
    n_excluded: int
    """Items unscored on either side, which no pair can use."""

    @property
    def family(self) -> Family:
        if self.before.metric == "broken":
            return "form"
        return "safety" if self.before.metric in SAFETY else "capability"

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
        """Capability only: the paired interval shows that less than one point was lost. None: does not apply."""
        if self.family != "capability" or self.low is None or self.high is None:
            return None
        return (self.low if self.direction == "higher" else -self.high) > -CAPABILITY_MARGIN


def changes(before: EvalFolder, after: EvalFolder) -> list[Change]:
    """Every row that both evaluations have (same benchmark, revision, split, modality, metric and scorer)."""
    later = {row.key: row for row in after.rows}
    found = [_change(row, later[row.key], before, after) for row in before.rows if row.key in later]
    return adjust(found)


def adjust(found: Sequence[Change]) -> list[Change]:
    """Fill `p_adjusted` by Holm's method, separately for each family: safety, capability, broken replies."""
    from counterpoise.evals.stats import holm

    result = list(found)
    for family in get_args(Family):
        places = [i for i, change in enumerate(result) if change.family == family and change.p is not None]
        if not places:
            continue
        for i, p in zip(places, holm([result[i].p or 0.0 for i in places]), strict=True):
            result[i] = replace(result[i], p_adjusted=float(p))
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
    return _difference(row, other, pairs, excluded)


def _difference(row: Row, other: Row, pairs: Sequence[tuple[float, float, str]], excluded: int) -> Change:
    from counterpoise.evals.stats import paired_difference

    # gaps lie in [-1, 1]; the statistic wants [0, 1], and a difference shrinks by the same factor
    scale, shift = (2.0, 1.0) if row.metric in GAPS else (1.0, 0.0)
    found = paired_difference(
        [(a + shift) / scale for a, _, _ in pairs],
        [(b + shift) / scale for _, b, _ in pairs],
        [cluster for _, _, cluster in pairs],
    )
    numbers = (found.value * scale, found.low * scale, found.high * scale)
    return Change(row, other, *numbers, found.p, None, len(pairs), excluded)
