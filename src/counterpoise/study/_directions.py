"""Does the model know, and does it act on it? The refusal direction of text, on every modality, beside a probe.

"Refusal in Language Models Is Mediated by a Single Direction" (Arditi et al., arXiv 2406.11717): the difference of the
mean states of harmful and benign requests at the last token of the prompt. It is fitted on *text* only and then read
on images; a ridge probe of each modality's own states stands beside it: a probe that separates where the direction does
not means that the model knows and does not act. Ablation and addition show whether the direction is used, against
random directions of the same length.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _analyses as analyses
from ._kept import Kept
from ._states import Prompts, Seen, look, prompts

if TYPE_CHECKING:
    from counterpoise.models import Loaded

RIDGE, RESAMPLES, CONTROLS, DEEPEST = 0.3, 1000, 3, 0.8


class Direction(NamedTuple):
    """The refusal direction of one layer."""

    layer: int
    vector: np.ndarray
    """(H) float64: mean harmful - mean benign."""


def difference(states_N_H: np.ndarray, harmful: np.ndarray) -> np.ndarray:
    """(H) mean of the harmful rows minus mean of the benign ones, in float64."""
    s = np.asarray(states_N_H, dtype=np.float64)
    return np.asarray(s[harmful].mean(0) - s[~harmful].mean(0))


def choose(states_L_N_H: np.ndarray, rows: Prompts) -> Direction:
    """The layer whose direction, fitted on one half of the families, separates the other half best; only the first 80 %
    of the blocks, as in the paper. The vector is then fitted on all rows. Layer l is `hidden_states[l]`."""
    names = sorted(set(rows.families.tolist()))
    first = np.isin(rows.families, names[::2])
    layers = range(1, max(int(DEEPEST * (len(states_L_N_H) - 1)), 1) + 1)
    aucs = {
        layer: analyses.auc(states_L_N_H[layer][~first] @ difference(states_L_N_H[layer][first], rows.harmful[first]),
                            rows.harmful[~first])
        for layer in layers
    }  # fmt: skip
    best = max(aucs, key=lambda layer: aucs[layer])
    return Direction(best, difference(states_L_N_H[best], rows.harmful))


def ablate(x: Any, direction: Any) -> Any:
    """`x - r r^T x` with r of unit length, on (..., H) tensors."""
    r = direction / direction.norm()
    return x - (x @ r)[..., None] * r


def directions(loaded: "Loaded", modalities: Sequence[str], limit: int | None, batch: int = 8,
               kept: Kept | None = None) -> dict[str, Any]:  # fmt: skip
    """Everything that `study directions` shows. Fitted on train families, read on validation families. With `kept` a
    study that was stopped goes on."""
    train = {kind: prompts("train", kind, limit) for kind in dict.fromkeys(("text", *modalities))}
    tests = {kind: prompts("validation", kind, limit) for kind in modalities}
    known = {
        kind: look(loaded, rows.conversations, batch=batch, title=f"train, {kind}", kept=kept)
        for kind, rows in train.items()
    }
    seen = {
        kind: look(loaded, rows.conversations, batch=batch, title=f"validation, {kind}", kept=kept)
        for kind, rows in tests.items()
    }
    found = choose(known["text"].states, train["text"])
    rows = {kind: _modality(found, known["text"], seen[kind], tests[kind], known[kind], train[kind]) for kind in tests}
    by_layer = {
        kind: [
            analyses.auc(seen[kind].states[layer] @ difference(known["text"].states[layer], train["text"].harmful),
                         tests[kind].harmful)
            for layer in range(1, len(known["text"].states))
        ]
        for kind in tests
    }  # fmt: skip
    return {
        "layer": found.layer, "layers": len(known["text"].states) - 1, "norm": float(np.linalg.norm(found.vector)),
        "modalities": rows, "auc_by_layer": by_layer,
        "causal": {kind: _causal(loaded, found, tests[kind], seen[kind].refusal, batch, kept) for kind in tests},
    }  # fmt: skip


def _modality(found: Direction, text: Seen, seen: Seen, rows: Prompts, own: Seen, train: Prompts) -> dict[str, Any]:
    unit = found.vector / np.linalg.norm(found.vector)
    known = text.states[found.layer] @ unit
    along = (seen.states[found.layer] @ unit - known.mean()) / known.std()
    mean, spread = own.states[found.layer].mean(0), own.states[found.layer].std(0) + 1e-6
    weights = _ridge((own.states[found.layer] - mean) / spread, train.harmful)
    scores = {
        "refusal": seen.refusal,
        "direction": along,
        "probe": (seen.states[found.layer] - mean) / spread @ weights,
    }
    sides = {side: rows.side(harmful=side == "harmful") for side in ("harmful", "benign")}
    return {
        "n": {side: len(at) for side, at in sides.items()},
        "auc": {name: _interval(values, rows) for name, values in scores.items()},
        "projection": {side: float(along[at].mean()) for side, at in sides.items()},
        "refused": {side: int((seen.refusal[at] > 0).sum()) for side, at in sides.items()},
    }


def _causal(loaded: "Loaded", found: Direction, rows: Prompts, before: np.ndarray, batch: int,
            kept: Kept | None) -> dict[str, Any]:  # fmt: skip
    """Refusal scores with the direction ablated behind every block, and added behind its layer; and the same with
    random directions of its length (means over three)."""
    import torch

    from counterpoise.models import changed_states

    size = len(_blocks(loaded))
    generator = np.random.default_rng(0)
    controls = [generator.standard_normal(len(found.vector)) for _ in range(CONTROLS)]
    controls = [c / np.linalg.norm(c) * np.linalg.norm(found.vector) for c in controls]

    def run(vector: np.ndarray, how: str) -> np.ndarray:
        def change(x: Any) -> Any:
            v = torch.as_tensor(vector, dtype=x.dtype, device=x.device)
            return ablate(x, v) if how == "ablated" else x + v

        layers = range(size + 1) if how == "ablated" else (found.layer,)
        with changed_states(loaded.model, dict.fromkeys(layers, change)):
            mine = kept.under(how, vector) if kept else None
            return look(loaded, rows.conversations, states=False, batch=batch, title=how, kept=mine).refusal

    result: dict[str, Any] = {"as it is": _sides(before, rows)}
    for how in ("ablated", "added"):
        result[how] = _sides(run(found.vector, how), rows)
        result[f"random {how}"] = _sides(np.mean([run(c, how) for c in controls], axis=0), rows)
    return result


def _blocks(loaded: "Loaded") -> Any:
    from counterpoise.models import decoder_layers

    return decoder_layers(loaded.model)


def _sides(scores: np.ndarray, rows: Prompts) -> dict[str, dict[str, float]]:
    return {
        side: {"score": float(scores[at].mean()), "refused": int((scores[at] > 0).sum()), "n": len(at)}
        for side, at in ((side, rows.side(harmful=side == "harmful")) for side in ("harmful", "benign"))
    }


def _ridge(states: np.ndarray, harmful: np.ndarray) -> np.ndarray:
    """(H) weights of ridge regression of +-1, penalty `RIDGE` a row, solved in the N x N form."""
    gram = states @ states.T + RIDGE * len(states) * np.eye(len(states))
    return np.asarray(states.T @ np.linalg.solve(gram, np.where(harmful, 1.0, -1.0)))


def _interval(scores: np.ndarray, rows: Prompts) -> dict[str, float]:
    """AUC, and its 95 % interval over resampled families."""
    generator, names = np.random.default_rng(0), np.array(sorted(set(rows.families.tolist())))
    places = {name: np.flatnonzero(rows.families == name) for name in names}
    drawn = []
    for _ in range(RESAMPLES):
        at = np.concatenate([places[name] for name in generator.choice(names, len(names))])
        drawn.append(analyses.auc(scores[at], rows.harmful[at]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"auc": analyses.auc(scores, rows.harmful), "low": float(low), "high": float(high)}
