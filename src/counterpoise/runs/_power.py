"""What a number of items can show: half widths, zero events, and the smallest change that a comparison would find."""

from collections import Counter
from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

from counterpoise.base import Row
from counterpoise.evals import Benchmark
from counterpoise.evals.stats import (
    clopper_pearson,
    detectable_paired,
    detectable_unpaired,
    n_paired,
    n_unpaired,
    wilson,
)
from counterpoise.report import family_of, verdict_rows


class Planned(NamedTuple):
    """A row of the scorecard that will be compared, with about how many items."""

    row: Row
    n: int

    @property
    def name(self) -> str:
        where = "" if self.row.modality == "image" else f" {self.row.modality}"
        return f"{self.row.benchmark}{where} {self.row.metric}"


def power_table(planned: Sequence[Planned]) -> tuple[str, ...]:
    """What so many items can show, a line for each row that a comparison adjusts together with others (Wilson,
    Clopper-Pearson; Connor 1987 at the level of the family's first row, 5 % divided by the number of rows)."""
    counted = {row.key for row in verdict_rows([each.row for each in planned])}
    shown = [each for each in planned if each.row.key in counted]
    if not shown:
        return ()
    sizes = Counter(family_of(each.row.metric) for each in shown)
    head = ("what so many items can show", "items", "50 % within", "0 events mean", "smallest paired change")
    lines = ["{:<44}{:>8}{:>16}{:>18}{:>26}".format(*head)]
    for each in shown:
        cells = power(each.n, level=1 - 0.05 / sizes[family_of(each.row.metric)])
        lines.append("{:<44}{:>8}{:>16}{:>18}{:>26}".format(each.name, *cells))
    family, m = sizes.most_common(1)[0]
    most = max(each.n for each in shown)
    together = ", ".join(f"{count} of {name}" for name, count in sizes.items())
    return (
        "",
        *lines,
        f"rows adjusted together (Holm): {together}; 95 % two-sided, power 80 %; changes when 10 % / 20 % of the "
        "items change; clustered items show less",
        f"a paired change of 5 points when 20 % of the items change takes {n_paired(0.2, 0.05):,} items alone, "
        f"{n_paired(0.2, 0.05, level=1 - 0.05 / m):,} in the {family} family; without pairing, as against a published "
        f"rate, {most:,} items show {_points(detectable_unpaired(most, 0.5))} at 50 %, "
        f"and 20 against 15 % takes {n_unpaired(0.2, 0.15):,} on each side",
    )


def _points(share: float) -> str:
    return "no difference" if isnan(share) else f"{100 * share:.1f} points"


def power(n: int, level: float = 0.95) -> tuple[str, str, str, str]:
    """Number of items, half width at 50 %, what zero events mean, and the smallest paired change that shows at
    `level`."""
    low, high = wilson(n / 2, n)
    changes = [detectable_paired(n, share, level=level) for share in (0.1, 0.2)]
    shown = " / ".join("none" if isnan(change) else f"{100 * change:.1f}" for change in changes)
    most = f"at most {100 * clopper_pearson(0, n).high:.1f} %"
    return f"{n:,}", f"{50 * (high - low):.1f} points", most, f"{shown} points"


def planned_rows(bench: Benchmark, n: int) -> list[Planned]:
    """The rows that `n` of its items will make, by its card: of each metric and modality, the sides alike."""
    modalities = bench.modality.split(", ")
    sided = "asr" in bench.metrics and "over_refusal" in bench.metrics
    made = []
    for metric in bench.metrics:
        for modality in modalities:
            items = n / len(modalities) / (2 if sided and metric in ("asr", "over_refusal") else 1)
            row = Row(
                model="", run="", benchmark=bench.row_name, revision=bench.revision, split=bench.split,
                modality=modality, metric=metric, direction=bench.directions[metric], scorer=bench.scorers[0],
                value=None, ci_low=None, ci_high=None, n_scored=0, n_unscored=0, n_empty=0,
            )  # fmt: skip
            made.append(Planned(row, max(1, round(items))))
    return made
