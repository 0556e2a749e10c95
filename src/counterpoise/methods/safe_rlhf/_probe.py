"""Where the head of a reward or cost model starts: at a linear probe of the untouched model.

The states at the ends of the training pairs' replies are computed once and a linear head is fitted to them by the
objective's own loss, to its minimum; factors and head are trained from there. Linear probing before fine-tuning (Kumar
et al. 2022, arXiv 2202.10054) keeps what the features already tell, which a random head on few pairs does not: its
scores are noise of the size of the states, and at first both learn to undo it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from counterpoise.base import InputError, Progress, write_json
from counterpoise.data import Preference
from counterpoise.train import digest, save_head

from ._scores import CostModel, Floats, RewardModel

if TYPE_CHECKING:
    from counterpoise.models import Loaded

CHUNK = 64
CARD = "probe.json"
DECAY = 10.0
"""Weight of the probe's squared weights, on states of unit spread, against the sum of the losses of all pairs."""


def probed(
    loaded: "Loaded", rows: Sequence[Preference], objective: RewardModel | CostModel, limit: int | None, folder: Path
) -> Path:
    """The folder with a head fitted to these rows, made when it is not there yet. Raises InputError when every row is
    longer than `limit`, as the training does."""
    run = digest([loaded.fingerprint, objective.fingerprint(), limit, DECAY, list(rows)])
    place = folder / run[:12]  # other rows or settings leave it alone
    if (place / CARD).is_file():  # the last file that is written
        return place
    states, signs = _states(loaded, rows, objective, limit)
    weight, loss = fit_head(states, signs, objective)
    place.mkdir(parents=True, exist_ok=True)
    save_head(place, objective.role, weight[None])
    write_json(place / CARD, {"run": run, "pairs": len(states) // 2, "loss": loss})
    return place


def _states(
    loaded: "Loaded", rows: Sequence[Preference], objective: RewardModel | CostModel, limit: int | None
) -> tuple[Floats, Tensor]:
    """(2 P, H) states at the ends of both replies, in the objective's order, and (2 P) signs."""
    from counterpoise.models import Engine

    found, signs = list[Floats](), list[Tensor]()
    engine = Engine(loaded)
    with Progress(f"{objective.role}: probe", len(rows), unit="pairs") as bar:
        for first in range(0, len(rows), CHUNK):
            some = rows[first : first + CHUNK]
            kept = [each for row in some if (pair := objective.encode(loaded, row, limit)) for each in pair]
            found += [look.hidden.astype(np.float64) for look in engine.look([each.row for each in kept], [0])]
            signs += [each.targets.get("sign", torch.tensor(0.0)) for each in kept]
            bar.advance(len(some))
    engine.close()
    if not found:
        raise InputError("training: every row is longer than max_length; raise it")
    return np.stack(found), torch.stack(signs)


def fit_head(states: Floats, signs_B: Tensor, objective: RewardModel | CostModel) -> tuple[Tensor, float]:
    """(H,) weights of the head that minimises the objective's loss on (2 P, H) states of pairs, and its mean loss.

    States are divided by their spread, since a few dimensions of a language model's are far larger than all others, and
    not centred: a head has no offset and finds one in dimensions that hardly vary.
    """
    spread = states.std(0) + 1e-6
    x = torch.from_numpy(states / spread)
    weight = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight], max_iter=1000, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = objective.of(x @ weight, signs_B).loss + DECAY * (weight**2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    found = weight.detach()
    loss = float(objective.of(x @ found, signs_B).loss) / (len(states) // 2)
    return (found / torch.from_numpy(spread)).float(), loss
