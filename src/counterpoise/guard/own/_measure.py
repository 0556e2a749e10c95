"""What a guard catches and what it over-blocks, by kind of row: the numbers of a guard's card."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.evals.stats import wilson

from .._labelled import Labelled
from ..evaluate import Auc, calibration, ranking

UNKNOWN = 2


class Measured(NamedTuple):
    """Rates of one kind of row. `unknown` rows are blocked by a gate, and are counted apart from both rates."""

    kind: str
    unsafe: int
    """Unsafe rows with a verdict."""
    caught: int
    safe: int
    overblocked: int
    unknown: int

    def cells(self) -> list[str]:
        """For a table: kind, catch rate, over-block rate, unknown."""
        return [self.kind, _rate(self.caught, self.unsafe), _rate(self.overblocked, self.safe), str(self.unknown)]


HEAD = "| rows | caught of unsafe (95 %) | over-blocked of safe (95 %) | unknown |\n|---|---|---|---|"


def _rate(k: int, n: int) -> str:
    if not n:
        return "no rows"
    low, high = wilson(k, n)
    return f"{k} of {n}: {100 * k / n:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def kind_of(row: Labelled) -> str:
    """Modality and mode, as tables name them."""
    return f"{row.modality}{', with answer' if row.mode == 'response' else ''}"


def rankings(rows: Sequence[Labelled], p: NDArray[np.float64]) -> dict[str, Auc]:
    """AUC of P(unsafe) by modality and mode, over the rows that have one."""
    found = {}
    for kind in dict.fromkeys(kind_of(row) for row in rows):
        at = [n for n, row in enumerate(rows) if kind_of(row) == kind and not np.isnan(p[n])]
        one = ranking([p[n] for n in at], [rows[n].unsafe for n in at], [rows[n].group for n in at])
        if one is not None:
            found[kind] = one
    return found


def measured(rows: Sequence[Labelled], label: NDArray[Any], by: Callable[[Labelled], str] = kind_of) -> list[Measured]:
    """By modality and mode, or `by` something else, in order of appearance; label 0: safe, 1: unsafe, 2: unknown."""
    kinds = [by(row) for row in rows]
    gold, found = np.array([row.unsafe for row in rows]), []
    for kind in dict.fromkeys(kinds):
        here = np.array([name == kind for name in kinds])
        known = here & (label != UNKNOWN)
        said = label == 1
        found.append(
            Measured(
                kind,
                int((known & gold).sum()),
                int((known & gold & said).sum()),
                int((known & ~gold).sum()),
                int((known & ~gold & said).sum()),
                int((here & ~known).sum()),
            )
        )
    return found


def ece(p: NDArray[np.float64], gold: NDArray[np.bool_]) -> float | None:
    """Expected calibration error over the rows that have a probability; None when none has."""
    seen = ~np.isnan(p)
    found = calibration(p[seen].tolist(), gold[seen].tolist())
    return None if found is None else found.ece


def table(found: Sequence[Measured], head: str = "rows") -> str:
    """Markdown; `head` names what the rates are by."""
    first = HEAD.replace("rows", head, 1)
    return "\n".join([first, *("| " + " | ".join(each.cells()) + " |" for each in found)])


def measured_by_category(rows: Sequence[Labelled], label: NDArray[Any]) -> list[Measured]:
    """Rates by category over all kinds, the most over-blocked first; none where rows have fewer than two categories."""
    own = [n for n, row in enumerate(rows) if row.category]
    if len({rows[n].category for n in own}) < 2:
        return []
    found = measured([rows[n] for n in own], label[own], lambda row: row.category.replace("_", " "))
    return sorted(found, key=lambda each: -each.overblocked / max(each.safe, 1))


def category_table(rows: Sequence[Labelled], label: NDArray[Any]) -> str:
    """Markdown of the rates by category; "" where there are none."""
    found = measured_by_category(rows, label)
    return table(found, "category") if found else ""
