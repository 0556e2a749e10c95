"""`counterpoise guard train`: a guard of ours on labelled rows, with some groups held out and measured."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from counterpoise.base import InputError, write_json

from .._labelled import Labelled, counted, grouped_split, keep_apart
from .._values import Guard
from ..evaluate import Auc
from ..saferoute import observe
from ._measure import Measured, ece, measured, measured_by_category, rankings

if TYPE_CHECKING:
    from ._probe_train import Cost

Kind = Literal["tiny", "small", "probe"]
KEPT = "kept"
"""Folder inside a probe's, of states and verdicts, until it is trained and measured: a stopped training goes on."""


class Fit(NamedTuple):
    """A trained guard and what it does on rows that it never saw."""

    guard: Guard
    rows: list[Measured]
    """By modality and mode."""
    categories: list[Measured]
    """By category, where the rows name several."""
    ece: float | None
    auc: dict[str, Auc]
    """By modality and mode."""
    trained: int
    held_out: int
    trained_on: str
    """Rows by mode and label, see `counted`."""
    measured_on: str
    cost: "Cost | None" = None
    """Of a probe, beside a pass of its model."""


def train_guard(
    kind: Kind,
    rows: Sequence[Labelled],
    out: Path,
    *,
    source: str,
    held_out: float = 0.2,
    measure: Sequence[Labelled] | None = None,
    seed: int = 0,
    model: str = "pocket",
    artifact: Path | None = None,
    epochs: float | None = None,
    over_block: float | None = None,
    resume: bool = True,
) -> Fit:
    """Train on most groups, measure on the others, and write the guard and `measured.json` into `out`.

    `measure`: rows to measure on, in place of a share of `rows`. Raises InputError for a share outside (0, 1), a group
    on both sides, one label or too few groups on a side.
    """
    learn, left = (list(rows), list(measure)) if measure is not None else _split(rows, held_out, seed, source)
    keep_apart(learn, left, f"{source}, rows to measure")
    guard = _fit(kind, learn, out, source, seed, model, artifact, epochs, over_block, resume)
    kept = out / KEPT if kind == "probe" else None  # a pass through a large model is not made twice
    seen = observe(guard, left, kept)
    gold = np.array([row.unsafe for row in left])
    found, error, ranked = measured(left, seen.label), ece(seen.p, gold), rankings(left, seen.p)
    categories = measured_by_category(left, seen.label)
    price = None
    if kind == "probe":
        from ._probe import ProbeGuard
        from ._probe_train import cost

        assert isinstance(guard, ProbeGuard)
        price = cost(guard, left)
    write_json(
        out / "measured.json",
        {"source": source, "trained": len(learn), "held_out": len(left), "ece": error, "seed": seed,
         "auc": {name: each._asdict() for name, each in ranked.items()}, "rows": [each._asdict() for each in found],
         "categories": [each._asdict() for each in categories],
         **({"cost": price._asdict()} if price else {})},
    )  # fmt: skip
    if kept is not None:
        shutil.rmtree(kept, ignore_errors=True)
    return Fit(guard, found, categories, error, ranked, len(learn), len(left), counted(learn), counted(left), price)


def _split(rows: Sequence[Labelled], share: float, seed: int, source: str) -> tuple[list[Labelled], list[Labelled]]:
    """Rows to train on, and rows to measure, groups whole."""
    if not 0 < share < 1:
        raise InputError(f"--held-out {share}: give a share between 0 and 1, such as 0.2")
    learn, test = _held_out(rows, share, seed)
    for name, part in (("training", learn), ("measuring", test)):
        if len({row.unsafe for row in part}) < 2:
            raise InputError(
                f"{source}: the rows for {name} have one label only ({counted(part)}; in all {counted(rows)}); "
                "give more groups of both labels"
            )
    return learn, test


def _held_out(rows: Sequence[Labelled], share: float, seed: int) -> tuple[list[Labelled], list[Labelled]]:
    sides = grouped_split([row.group for row in rows], np.array([row.unsafe for row in rows]), share, seed)
    learn, held = ([rows[n] for n in side] for side in sides)
    return learn, held


def _fit(
    kind: Kind, rows: list[Labelled], out: Path, source: str, seed: int, model: str, artifact: Path | None,
    epochs: float | None, over_block: float | None, resume: bool,
) -> Guard:  # fmt: skip
    if kind == "probe":
        from ._probe_train import OVER_BLOCK, train_probe

        return train_probe(rows, out, trained_on=source, seed=seed, model=model, artifact=artifact,
                           over_block=OVER_BLOCK if over_block is None else over_block, kept=out / KEPT)  # fmt: skip
    if kind == "tiny":
        from ._tiny_train import train_tiny

        return train_tiny(rows, out, trained_on=source, seed=seed)
    from ._small_train import settings, train_small

    more: dict[str, Any] = {"seed": seed} | ({"epochs": epochs} if epochs else {})
    learn, check = _held_out(rows, 0.1, seed)
    return train_small(learn, out, calibration=check, trained_on=source, model=model, config=settings(**more),
                       resume=resume)  # fmt: skip
