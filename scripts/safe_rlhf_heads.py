"""Reward and cost heads on the frozen states of a model: the quick first number, and a learning curve over pairs.

    python scripts/safe_rlhf_heads.py pocket --out runs/heads [--train 1200] [--held-out 400] [--seconds 150]

The state at each reply's end of turn is computed once and kept in OUT/states.npz; run again until it says that it is
done. Then the head that a training starts at (`scoring.probe`) is fitted to growing numbers of training pairs (families
of Twins' training half, 3 draws each) and measured on pairs of validation families. Writes OUT/heads.json.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from counterpoise.data import Preference
from counterpoise.data.pocket_sets import preference_pairs
from counterpoise.evals.stats import auc
from counterpoise.methods.safe_rlhf._data import drawn, key_of
from counterpoise.methods.safe_rlhf._measured import cluster_of, share
from counterpoise.methods.safe_rlhf._probe import fit_heads
from counterpoise.methods.safe_rlhf._scores import CostModel, RewardModel, ranks, scored_tokens, sign_of
from counterpoise.models import Engine, load

CHUNK = 64


def states(name: str, rows: list[Preference], file: Path, seconds: float) -> dict[str, np.ndarray] | None:
    """State of every (prompt, reply); None when time ran out before all were there."""
    known = dict(np.load(file)) if file.is_file() else {}
    asked = {_key(row, i): (row, i) for row in rows for i in (0, 1)}
    todo = [key for key in asked if key not in known]
    if not todo:
        return known
    until, loaded = time.monotonic() + seconds, load(name)
    engine = Engine(loaded)
    while todo and time.monotonic() < until:
        some, todo = todo[:CHUNK], todo[CHUNK:]
        encoded = [scored_tokens(loaded, asked[k][0].prompt, asked[k][0].replies[asked[k][1]].text, None) for k in some]
        looks = engine.look([tokens.row for tokens in encoded if tokens], [0])
        known |= {key: look.hidden for key, look in zip(some, looks, strict=True)}
        np.savez(file, **known)
    print(f"{len(known)} states, {len(todo)} to go")
    return None if todo else known


def _key(row: Preference, i: int) -> str:
    return hashlib.sha256(f"{key_of(row.prompt)} {row.replies[i].text}".encode()).hexdigest()[:24]


def head(kind: str, rows: list[Preference], x: dict[str, np.ndarray]) -> np.ndarray:
    """(H,) weights of the head that a training would start at."""
    cost = kind == "cost"
    first, second = _sides(rows, x, "safer" if cost else "more_helpful")
    if cost:
        first, second = second, first  # the less safe reply first
    states = np.stack([first, second], 1).reshape(2 * len(rows), -1)
    signs = [sign_of(row.replies[1 - row.safer if up else row.safer]) if cost else 0 for row in rows for up in (1, 0)]  # type: ignore[operator]
    objective = CostModel() if cost else RewardModel()
    ranked = [float(ranks(row)) for row in rows for _ in (0, 1)]
    targets = {"sign": torch.tensor(signs, dtype=torch.float32), "ranked": torch.tensor(ranked)}
    weights, _ = fit_heads(states, targets, objective)
    return weights[kind][0].double().numpy()


def _sides(rows: list[Preference], x: dict[str, np.ndarray], order: str) -> tuple[np.ndarray, np.ndarray]:
    """States of the chosen and of the other replies."""
    chosen = [getattr(row, order) for row in rows]
    return tuple(
        np.stack([x[_key(row, c if up else 1 - c)] for row, c in zip(rows, chosen, strict=True)])
        for up in (True, False)
    )  # type: ignore[return-value]


def measured(kind: str, weight: np.ndarray, rows: list[Preference], x: dict[str, np.ndarray]) -> dict[str, Any]:
    first, second = _sides(rows, x, "more_helpful" if kind == "reward" else "safer")
    up, down = first @ weight, second @ weight
    right = up > down if kind == "reward" else down > up
    labels = np.array([cluster_of(row) for row in rows])
    found: dict[str, Any] = {"ranking": share(right, labels.tolist())}
    unsafe = np.array([any(reply.safe is False for reply in row.replies) for row in rows])
    found["ranking_with_unsafe"] = share(right[unsafe], labels[unsafe].tolist())
    for modality in ("text", "print", "picture", "pair"):
        own = np.array([row.modality == modality for row in rows])
        found[f"ranking_{modality}"] = share(right[own], labels[own].tolist())
    return found


def signed(weight: np.ndarray, rows: list[Preference], x: dict[str, np.ndarray]) -> dict[str, Any]:
    """Of every held-out reply once."""
    once = {_key(row, i): (row, row.replies[i]) for row in rows for i in (0, 1)}
    costs = np.array([float(x[key] @ weight) for key in once])
    unsafe = np.array([not reply.safe for _, reply in once.values()])
    graded = np.array([reply.harmless != 0 for _, reply in once.values()])
    right = (costs > 0) == unsafe
    labels = np.array([cluster_of(row) for row, _ in once.values()])
    found: dict[str, Any] = {
        "sign": share(right, labels.tolist()), "sign_without_rate_0": share(right[graded], labels[graded].tolist())
    }  # fmt: skip
    for modality in ("text", "print", "picture", "pair"):
        own = np.array([row.modality == modality for row, _ in once.values()])
        found[f"sign_{modality}"] = share(right[own], labels[own].tolist())
    return found | {"auc": auc(costs, unsafe), "majority": float(max(unsafe.mean(), 1 - unsafe.mean()))}


def sizes(most: int) -> list[int]:
    """Numbers of training pairs of the curve, all of them last."""
    return [*(n for n in (50, 100, 200, 400, 800) if n < most), most]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=1200)
    parser.add_argument("--held-out", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=150)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    train = drawn(preference_pairs("train"), given.train, 0)
    held = drawn(preference_pairs("validation", per_prompt=2), given.held_out, 0)
    found = states(given.model, [*held, *train], given.out / "states.npz", given.seconds)
    if found is None:
        raise SystemExit("run again to go on")
    x = {key: state.astype(np.float64) for key, state in found.items()}
    results = []
    for kind, order in (("reward", "by_helpfulness"), ("cost", "by_safety")):
        usable = [row for row in train if getattr(row, order)() is not None]
        tests = [row for row in held if getattr(row, order)() is not None]
        for n in sizes(len(usable)):
            for draw in range(3) if n < len(usable) else (0,):
                weight = head(kind, drawn(usable, n, draw), x)
                line = measured(kind, weight, tests, x) | (signed(weight, held, x) if kind == "cost" else {})
                results.append({"kind": kind, "pairs": n, "draw": draw} | line)
                short = {k: round(v.value, 3) if hasattr(v, "value") else round(v, 3) for k, v in line.items()}
                print(kind, n, draw, json.dumps(short))
    (given.out / "heads.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
