"""Training of the tiny guard: a network for each mode that has rows, on features of a frozen embedding and eye."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import InputError
from counterpoise.evals.stats import auc

from .._labelled import Labelled
from ._batches import features_of
from ._eye import eye
from ._features import Rows
from ._head import MODES, Head, Net
from ._head_fit import fit_net
from ._tiny import TinyGuard


def train_tiny(
    rows: Sequence[Labelled], out: Path, *, trained_on: str, seed: int = 0, seeds: int = 1,
    check: Sequence[Labelled] = (), kept: Path | None = None,
) -> TinyGuard:  # fmt: skip
    """Train on labelled rows and write `out/tiny.safetensors`. A mode without rows is left out and answers `unknown`.

    With several `seeds`, from `seed` on, the network of each mode that ranks the `check` rows best (AUC) stands; the
    AUC of every seed is in the card. `kept`: folder in which features are kept. Raises InputError when there are too
    few rows of a label, an image cannot be read, or several seeds have no rows to be chosen on.
    """
    if shared := {row.group for row in rows} & {row.group for row in check}:
        raise InputError(f"check: group {sorted(shared)[0]!r} is also trained on; keep groups apart")
    if seeds > 1 and not check:
        raise InputError("seeds: give rows to choose among them on (check)")
    found, back = features_of(rows, kept), features_of(check, kept)
    nets: dict[str, Net] = {}
    scores: dict[str, list[float]] = {}
    for mode in MODES:
        places = [n for n, row in enumerate(rows) if row.mode == mode]
        if not places:
            continue
        own = [n for n, row in enumerate(check) if row.mode == mode]
        gold = [check[n].unsafe for n in own]
        made = []
        for each in range(seed, seed + seeds):
            net = _fit(mode, found, rows, places, each)
            p = [float(net(back[n]).max()) for n in own]
            made.append((auc(p, gold) if own else None, net))
        scores[mode] = [round(score, 4) for score, _ in made if score is not None]
        nets[mode] = max(made, key=lambda one: one[0] or 0.0)[1]
    images = any(row.exchange.images for row in rows)
    card: dict[str, Any] = {
        "eye": eye().revision if images else None, "trained_on": trained_on, "rows": len(rows), "seed": seed,
        "seeds": seeds, "kept_back_auc": scores,
    }  # fmt: skip
    return TinyGuard(Head(nets, card).save(out / "tiny.safetensors"))


def _fit(mode: str, found: Sequence[Rows], rows: Sequence[Labelled], places: Sequence[int], seed: int) -> Net:
    unsafe, groups = [rows[n].unsafe for n in places], [rows[n].group for n in places]
    try:
        return fit_net([found[n] for n in places], unsafe, groups, seed=seed)
    except InputError as error:
        raise InputError(f"{mode} mode: {error}") from error
