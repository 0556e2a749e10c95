"""Where the heads of a reward, cost or severity model start: at a linear probe of the untouched model.

The states at the ends of the training rows' replies are computed once and linear heads are fitted to them by the
objective's own loss, to its minimum; factors and heads are trained from there. Linear probing before fine-tuning (Kumar
et al. 2022, arXiv 2202.10054) keeps what the features already tell, which a random head on few pairs does not: its
scores are noise of the size of the states, and at first both learn to undo it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from counterpoise.base import InputError, Progress, write_json
from counterpoise.train import LossOut, Tokens, digest, save_heads

from .._sources import in_turn
from ._scores import Floats

if TYPE_CHECKING:
    from counterpoise.models import Loaded

CHUNK = 64
CARD = "probe.json"
DECAY = 10.0
"""Weight of the probe's squared weights, on states of unit spread, against the sum of the losses of all rows."""


class Probed(Protocol):
    """An objective whose loss depends on the numbers that heads give at the last token of each sequence."""

    @property
    def role(self) -> str | None: ...

    def encode(self, loaded: "Loaded", row: Any, limit: int | None) -> tuple[Tokens, ...] | None: ...

    def fingerprint(self) -> str: ...

    def heads(self) -> dict[str, int]:
        """How many numbers each head gives."""
        ...

    def of_heads(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> LossOut:
        """The loss of (N, outputs) numbers of each head for N sequences in order, with their targets."""
        ...


def probed(loaded: "Loaded", rows: Sequence[Any], objective: Probed, limit: int | None, folder: Path) -> Path:
    """The folder with heads fitted to these rows, made when it is not there yet, by one process at a time. Raises
    InputError when every row is longer than `limit`, as the training does."""
    run = digest([loaded.fingerprint, objective.fingerprint(), limit, DECAY, list(rows)])
    place = folder / run[:12]  # other rows or settings leave it alone
    with in_turn(folder):
        if (place / CARD).is_file():  # the last file that is written
            return place
        states, targets = _states(loaded, rows, objective, limit)
        weights, out = fit_heads(states, targets, objective)
        place.mkdir(parents=True, exist_ok=True)
        save_heads(place, weights)
        write_json(place / CARD, {"run": run, "rows": out.n, "loss": float(out.loss) / out.n})
    return place


def _states(
    loaded: "Loaded", rows: Sequence[Any], objective: Probed, limit: int | None
) -> tuple[Floats, dict[str, Tensor]]:
    """(N, H) states at the ends of all sequences of the rows, in the objective's order, and their targets."""
    from counterpoise.models import Engine

    found, targets = list[Floats](), dict[str, list[Tensor]]()
    engine = Engine(loaded)
    with Progress(f"{objective.role}: probe", len(rows), unit="rows") as bar:
        for first in range(0, len(rows), CHUNK):
            some = rows[first : first + CHUNK]
            kept = [each for row in some if (own := objective.encode(loaded, row, limit)) for each in own]
            found += [look.hidden.astype(np.float64) for look in engine.look([each.row for each in kept], [0])]
            for each in kept:
                for name, value in each.targets.items():
                    targets.setdefault(name, []).append(value)
            bar.advance(len(some))
    engine.close()
    if not found:
        raise InputError("training: every row is longer than max_length; raise it")
    return np.stack(found), {name: torch.stack(values) for name, values in targets.items()}


def fit_heads(states: Floats, targets: Mapping[str, Tensor], objective: Probed) -> tuple[dict[str, Tensor], LossOut]:
    """(outputs, H) weights of the heads that minimise the objective's loss on (N, H) states, and the loss there.

    States are divided by their spread, since a few dimensions of a language model's are far larger than all others, and
    not centred: a head has no offset and finds one in dimensions that hardly vary.
    """
    spread = states.std(0) + 1e-6
    x = torch.from_numpy(states / spread)
    weights = {
        name: torch.zeros(n, x.shape[1], dtype=torch.float64, requires_grad=True)
        for name, n in objective.heads().items()
    }
    optimizer = torch.optim.LBFGS(
        list(weights.values()), max_iter=1000, tolerance_grad=1e-9, tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def out() -> LossOut:
        return objective.of_heads({name: x @ weight.T for name, weight in weights.items()}, targets)

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = out().loss + DECAY * torch.stack([(weight**2).sum() for weight in weights.values()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        found = out()
    scale = torch.from_numpy(spread)
    return {name: (weight.detach() / scale).float() for name, weight in weights.items()}, found
