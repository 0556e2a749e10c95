"""Training of the tiny guard: a network for each mode that has rows, on features of a frozen embedding and eye."""

from collections.abc import Sequence
from pathlib import Path

from counterpoise.base import InputError

from .._labelled import Labelled
from ._batches import features_of
from ._eye import eye
from ._head import MODES, Head
from ._head_fit import fit_net
from ._tiny import TinyGuard


def train_tiny(rows: Sequence[Labelled], out: Path, *, trained_on: str, seed: int = 0) -> TinyGuard:
    """Train on labelled rows and write `out/tiny.safetensors`. A mode without rows is left out and answers `unknown`.

    Raises InputError when there are too few rows of a label, or an image cannot be read.
    """
    found, groups = features_of(rows), [row.group for row in rows]
    nets = {}
    for mode in MODES:
        places = [n for n, row in enumerate(rows) if row.mode == mode]
        if not places:
            continue
        try:
            nets[mode] = fit_net(
                [found[n] for n in places], [rows[n].unsafe for n in places], [groups[n] for n in places], seed=seed
            )
        except InputError as error:
            raise InputError(f"{mode} mode: {error}") from error
    images = any(row.exchange.images for row in rows)
    card = {"eye": eye().revision if images else None, "trained_on": trained_on, "rows": len(rows), "seed": seed}
    return TinyGuard(Head(nets, card).save(out / "tiny.safetensors"))
