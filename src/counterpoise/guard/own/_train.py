"""`counterpoise guard train`: either guard on a user's labelled rows, with some groups held out and measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from counterpoise.base import InputError, write_json

from .._labelled import Labelled
from .._values import Guard
from ..saferoute import observe
from ..saferoute._labels import grouped_split
from ._measure import Measured, ece, measured

Kind = Literal["tiny", "small"]


class Fit(NamedTuple):
    """A trained guard and what it does on rows that it never saw."""

    guard: Guard
    rows: list[Measured]
    ece: float | None
    trained: int
    held_out: int


def train_guard(
    kind: Kind,
    rows: Sequence[Labelled],
    out: Path,
    *,
    source: str,
    held_out: float = 0.2,
    seed: int = 0,
    model: str = "pocket",
    epochs: float | None = None,
    resume: bool = True,
) -> Fit:
    """Train on most groups, measure on the others, and write the guard and `measured.json` into `out`.

    Raises InputError for a share outside (0, 1), one label or too few groups on a side.
    """
    if not 0 < held_out < 1:
        raise InputError(f"--held-out {held_out}: give a share between 0 and 1, such as 0.2")
    unsafe = np.array([row.unsafe for row in rows])
    learn, test = grouped_split([row.group for row in rows], unsafe, held_out, seed)
    for name, part in (("training", learn), ("measuring", test)):
        if len(set(unsafe[part].tolist())) < 2:
            raise InputError(f"{source}: the rows for {name} have one label only; give more groups of both labels")
    chosen = [rows[n] for n in learn]
    guard = _fit(kind, chosen, out, source, seed, model, epochs, resume)
    left = [rows[n] for n in test]
    seen = observe(guard, left)
    gold = unsafe[test]
    found, error = measured(left, seen.label), ece(seen.p, gold)
    write_json(
        out / "measured.json",
        {"source": source, "trained": len(chosen), "held_out": len(left), "ece": error, "seed": seed,
         "rows": [each._asdict() for each in found]},
    )  # fmt: skip
    return Fit(guard, found, error, len(chosen), len(left))


def _fit(
    kind: Kind, rows: list[Labelled], out: Path, source: str, seed: int, model: str, epochs: float | None, resume: bool
) -> Guard:
    if kind == "tiny":
        from ._tiny_train import train_tiny

        return train_tiny(rows, out, trained_on=source, seed=seed)
    from ._small_train import settings, train_small

    more: dict[str, Any] = {"seed": seed} | ({"epochs": epochs} if epochs else {})
    unsafe = np.array([row.unsafe for row in rows])
    learn, check = grouped_split([row.group for row in rows], unsafe, 0.1, seed)
    return train_small(
        [rows[n] for n in learn], out, calibration=[rows[n] for n in check], trained_on=source, model=model,
        config=settings(**more), resume=resume,
    )  # fmt: skip
