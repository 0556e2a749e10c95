"""What a guard says about labelled rows, as arrays; kept on disk block by block, so that no row is looked at twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError

from .._kept import NAMED, Arrays, content_key, kept_blocks
from .._labelled import Labelled
from .._values import Exchange, Guard, Verdict, identity
from ._labels import Bools, Floats
from ._metrics import ranked
from ._router import FeatureSpec

BLOCK = 64  # a guard model's batch: a stopped run loses no more than this
CODES = {"safe": 0, "unsafe": 1, "unknown": 2, "controversial": 1}
"""Controversial counts as unsafe (the strict reading)."""


@dataclass(frozen=True)
class Observed:
    """One guard on N rows."""

    label: NDArray[np.int8]
    """0 safe, 1 unsafe, 2 unknown."""
    p: Floats
    """P(unsafe); NaN where the guard gives none."""
    cost: Floats
    """Seconds a row, as measured when it was looked at (its share of a batch)."""
    features: NDArray[np.float32] | None
    """(N, d), zero rows where there are none; None when the guard gives none at all."""
    has: Bools
    """Rows with features."""

    @property
    def must(self) -> Bools:
        """Rows that are always routed: unknown to the guard, or without features."""
        return np.asarray(~self.has | (self.label == CODES["unknown"]))

    @property
    def decision(self) -> Floats:
        """What its rows are ranked by, see `ranked`."""
        return ranked(self.label, self.p)

    def at(self, places: NDArray[Any] | Sequence[int]) -> "Observed":
        """The same of some rows."""
        chosen = np.asarray(places)
        features = None if self.features is None else self.features[chosen]
        return Observed(self.label[chosen], self.p[chosen], self.cost[chosen], features, self.has[chosen])


def observe(guard: Guard, rows: Sequence[Labelled], cache: Path | None = None) -> Observed:
    """Run the guard on rows, in order; with a folder, blocks that are kept there are not run again."""
    # with what its features are: the same weights may hand over another part of themselves in another version
    whose = (identity(guard), repr(getattr(guard, "feature_spec", None)))
    found = list(kept_blocks(
        rows, lambda block: _run(guard, block), size=BLOCK, form=NAMED, folder=cache,
        key=lambda block: content_key(block, *whose), title=f"guard {guard.id}",
    ))  # fmt: skip
    if not found:
        raise InputError("no rows to look at")
    return _join(found)


def spec_of(guard: Guard, rows: Sequence[Labelled]) -> FeatureSpec:
    """The features of a guard, read off its verdict on the first row that gives some. Raises InputError."""
    for row in rows[:32]:
        verdict = guard.check([row.exchange])[0]
        if verdict.features is not None:
            return FeatureSpec.of(guard, verdict)
    raise InputError(
        f"{guard.id}: its verdicts carry no features, so no router can read them; choose a guard model as the small one"
    )


def _run(guard: Guard, rows: Sequence[Labelled]) -> Arrays:
    verdicts = _checked(guard, [row.exchange for row in rows])
    width = max((v.features.shape[0] for v in verdicts if v.features is not None), default=0)
    blank = np.zeros(width, np.float32)
    return {
        "label": np.array([CODES[v.label] for v in verdicts], np.int8),
        "p": np.array([np.nan if v.p_unsafe is None else v.p_unsafe for v in verdicts], np.float64),
        "cost": np.array([v.cost for v in verdicts], np.float64),
        "has": np.array([v.features is not None for v in verdicts]),
        "features": np.stack([blank if v.features is None else v.features for v in verdicts]).astype(np.float32),
    }


def _checked(guard: Guard, exchanges: Sequence[Exchange]) -> list[Verdict]:
    verdicts = guard.check(exchanges)
    if len(verdicts) != len(exchanges):
        raise InputError(f"{guard.id}: {len(verdicts)} verdicts for {len(exchanges)} exchanges; the guard is broken")
    return verdicts


def _join(blocks: Sequence[Arrays]) -> Observed:
    label, p, cost, has = (np.concatenate([b[name] for b in blocks]) for name in ("label", "p", "cost", "has"))
    width = max(b["features"].shape[1] for b in blocks)
    if not width:
        return Observed(label, p, cost, None, has)
    grown = [
        b["features"] if b["features"].shape[1] else np.zeros((len(b["label"]), width), np.float32) for b in blocks
    ]
    return Observed(label, p, cost, np.concatenate(grown), has)
