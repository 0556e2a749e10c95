"""Analyses 1, 3, 4 and 5 on the study's own models, and the soft-token attack, as plain numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .. import _analyses as analyses
from ._gpt import GPT
from ._measure import inside, outcome, sensitivity
from ._rows import ATTACKS, Rows
from ._sizes import Size
from ._soft import attack

ALPHAS = (0.0, 0.5, 1.0, 1.5, 2.0)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def inside_of(model: GPT, base: GPT, data: Mapping[str, list[Rows]], size: Size) -> dict[str, Any]:
    """Clusters, responses and sensitivity of one model. `std_unsafe` is split by the pair from which a row is refused,
    and each attack is compared with the reference rows of its own pair."""
    found: dict[str, Any] = {"clusters": {}, "responses": {}, "sensitivity": {}}
    for pair in (1, 2):
        sides = {side: _of_pair(data[f"std_{side}"], pair, size.analysis_rows) for side in ("safe", "unsafe")}
        seen = {side: inside(model, rows, size.positions, pair) for side, rows in sides.items()}
        others = {name: _of_pair(data[name], pair, size.analysis_rows) for name in ATTACKS}
        others = {name: rows for name, rows in others.items() if len(rows) >= 20}
        attacks = {name: inside(model, rows, size.positions, pair).hidden for name, rows in others.items()}
        found["clusters"][str(pair)] = [
            _clusters(seen["safe"].hidden[block], seen["unsafe"].hidden[block],
                      {name: states[block] for name, states in attacks.items()})
            for block in range(size.layers)
        ]  # fmt: skip
        norms = {f"std_{side}": sensitivity(model, rows, pair) for side, rows in sides.items()}
        norms |= {name: sensitivity(model, rows, pair) for name, rows in others.items()}
        found["sensitivity"][str(pair)] = {name: _spread(values) for name, values in norms.items()}
        if model is not base and pair == 1:
            before = {side: inside(base, rows, size.positions, pair).entering for side, rows in sides.items()}
            found["responses"] = _responses(base, model, {side: seen[side].entering for side in sides}, before)
    return found


def _of_pair(rows: list[Rows], pair: int, most: int) -> Rows:
    """The first rows, of all PCFGs, that are refused from `pair` on; safe rows stand beside either."""
    kept = [part.take(np.flatnonzero((part.refuse_from == pair) | (part.refuse_from == 0))) for part in rows]
    each = max(most // len(kept), 1)
    return Rows(
        np.concatenate([part.tokens[:each] for part in kept]), np.concatenate([part.facts[:each] for part in kept])
    )


def _clusters(safe: np.ndarray, unsafe: np.ndarray, attacks: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Analysis 1 in one block: centroids from the first half of the rows, tau of the second half."""
    half = len(safe) // 2, len(unsafe) // 2
    at = analyses.centroids(safe[: half[0]], unsafe[: half[1]])
    s, u = analyses.tau(safe[half[0] :], at), analyses.tau(unsafe[half[1] :], at)
    middle = float(np.sqrt((s.var() + u.var()) / 2))
    cosine = analyses.tau_cosine(safe[half[0] :], at), analyses.tau_cosine(unsafe[half[1] :], at)
    return {
        "safe": float(s.mean()), "unsafe": float(u.mean()), "n": [len(s), len(u)],
        "own_side": [float((s > 0).mean()), float((u < 0).mean())],
        "separation": float(s.mean() - u.mean()) / max(middle, 1e-12),
        "cosine": [float(part.mean()) for part in cosine],
        "attacks": {name: float(analyses.tau(states, at).mean()) for name, states in attacks.items()},
    }  # fmt: skip


def _responses(base: GPT, tuned: GPT, entering: Mapping[str, list[np.ndarray]],
               before: Mapping[str, list[np.ndarray]], top: int = 10) -> list[dict[str, Any]]:  # fmt: skip
    """Analysis 3: mean response of the change of W1, by direction, to what enters the tuned model's MLP; and, `before`,
    to what enters the base's, which the change did not move."""
    found = []
    for block, (old, new) in enumerate(zip(base.blocks, tuned.blocks, strict=True)):
        delta = (new.w1.weight - old.w1.weight).detach().double().numpy()  # type: ignore[union-attr, operator]
        change = analyses.change_of(delta)
        row: dict[str, Any] = {"block": block}
        for name, states in (("tuned", entering), ("base", before)):
            row[name] = {side: analyses.response(change, states[side][block], top).mean(0).tolist() for side in states}
        found.append(row)
    return found


def _spread(values: np.ndarray) -> dict[str, Any]:
    return {"mean": float(values.mean()), "n": len(values), "quantiles": np.quantile(values, QUANTILES).tolist()}


def probe_soft(model: GPT, rows: list[Rows], size: Size) -> dict[str, Any]:
    """The soft-token attack on unsafe rows that are refused from the first pair on: per row, and one for all."""
    chosen = _of_pair(rows, 1, size.soft_rows)
    found: dict[str, Any] = {"n": len(chosen)}
    for name, universal in (("per_row", False), ("universal", True)):
        done = attack(model, chosen, universal=universal, seed=size.seed)
        found[name] = {"complied": int(done.complied.sum()), "losses": done.losses}
    return found


def mix(base: GPT, tuned: GPT, alpha: float) -> GPT:
    """`alpha W_tuned + (1 - alpha) W_base` in every parameter; 0 and 1 are the two models."""
    return _with(
        base, lambda name: analyses.along(base.state_dict()[name].numpy(), tuned.state_dict()[name].numpy(), alpha)
    )


def added(base: GPT, one: GPT, other: GPT) -> GPT:
    """`one` plus what tuning changed in `other`."""
    state = [model.state_dict() for model in (base, one, other)]
    return _with(base, lambda name: (state[1][name] + state[2][name] - state[0][name]).numpy())


def _with(like: GPT, value: Any) -> GPT:
    made = GPT(like.size)
    made.load_state_dict({name: torch.as_tensor(value(name)) for name in like.state_dict()})
    return made.eval()


def intervene(models: Mapping[str, GPT], data: Mapping[str, list[Rows]], n: int) -> dict[str, Any]:
    """Analysis 5: every tuned model along its own change, and SSFT with another's change added."""
    base = models["pretrained"]
    found: dict[str, Any] = {"alphas": list(ALPHAS), "along": {}, "added": {}}
    plain = _outcome(base, data, n)
    for name, model in models.items():
        if model is not base:
            found["along"][name] = [
                plain if alpha == 0 else _outcome(mix(base, model, alpha), data, n) for alpha in ALPHAS
            ]
    for other in ("dpo-medium", "unlearning-medium"):
        made = added(base, models["ssft-medium"], models[other])
        found["added"][f"ssft-medium + {other}"] = _outcome(made, data, n)
    return found


def _outcome(model: GPT, data: Mapping[str, list[Rows]], n: int) -> dict[str, dict[str, int]]:
    """Counts on the first rows of each set, summed over the PCFGs."""
    found: dict[str, dict[str, int]] = {}
    for name in ("std_safe", "std_unsafe", *ATTACKS):
        each = [outcome(model, rows.take(slice(0, n))) for rows in data[name]]
        found[name] = {key: sum(one[key] for one in each) for key in ("n", "complied", "refused")}
    return found
