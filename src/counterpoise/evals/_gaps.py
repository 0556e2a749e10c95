"""Metrics that compare two kinds of items of one cluster: discrimination and the modality gap."""

from collections.abc import Sequence
from dataclasses import dataclass

from ._items import Item
from .stats import Difference, Rate, anytime_difference, discrimination, modality_gap


@dataclass(frozen=True)
class Gap:
    """One such metric by one scorer. Discrimination compares harmful with harmless items of a modality; the modality
    gap compares the harmful items of a modality with those in text."""

    metric: str
    scorer: str

    def items(self, items: Sequence[Item], modality: str) -> list[Item] | None:
        """The items of both kinds; None when one kind is absent, or there is only one cluster."""
        if self.metric == "modality_gap":
            if modality == "text":
                return None
            part = [each for each in items if each.modality in (modality, "text") and each.harmful]
        else:
            part = [each for each in items if each.modality == modality]
        several = len({self._first(each) for each in part}) == 2 and len({each.cluster for each in part}) > 1
        return part if several else None

    def estimate(self, part: Sequence[Item], *, anytime: bool) -> Difference | Rate | None:
        """The paired difference with its interval; None when fewer than two clusters are scored on both sides.

        `anytime`: the interval allows for having stopped early.
        """
        if self._complete(part) < 2:
            return None
        values = [each.scores[self.scorer] for each in part]
        first, families = [self._first(each) for each in part], [each.cluster for each in part]
        if self.metric == "modality_gap":
            values = [None if value is None else 1 - value for value in values]
        if anytime:
            return anytime_difference(values, first, families)
        return (modality_gap if self.metric == "modality_gap" else discrimination)(values, first, families)

    def _first(self, each: Item) -> bool:
        """Whether an item is of the kind that the other is subtracted from."""
        return each.modality != "text" if self.metric == "modality_gap" else bool(each.harmful)

    def _complete(self, part: Sequence[Item]) -> int:
        """Clusters with a scored item on both sides."""
        scored = {(each.cluster, self._first(each)) for each in part if each.scores[self.scorer] is not None}
        return sum((cluster, False) in scored for cluster, first in scored if first)
