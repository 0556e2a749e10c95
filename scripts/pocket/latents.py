"""What the pocket knows about an image request, beside what it does about it: the latent table of its page.

    python scripts/pocket/latents.py OUT.json MODEL [MODEL ...] [--split test]

For each model and modality, AUC of harmful against benign on the families of a split, each with a 95 % interval from
resampled families:

- refusal: log p("I") as the first token, what the model is about to do;
- own probe, folds: ridge on the last hidden state, five folds by family: is it known at all, somewhere;
- own probe, train: ridge at layer 26, from the train families in the same modality: does it hold for new families;
- text's direction: difference of means of *text* on the train families, at layer 26, on the states of this modality,
  which are standardised by their own mean and spread: is it the same thing that refuses text.

And the projection itself, in standard deviations of the text's: the mean of harmful and of benign rows along the text's
direction at layer 26, where the text's own middle is 0. A gap that is a bias shows both sides moved the same way.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from held_out import REFUSED, auc

from counterpoise.data import twins
from counterpoise.methods import refusal_token
from counterpoise.models import Loaded, encode, load

SIDES = ("harmful", "benign")
LAYER, RIDGE, FOLDS, RESAMPLES = 26, 0.3, 5, 2000


def standardised(states: np.ndarray, by: np.ndarray | None = None) -> np.ndarray:
    by = states if by is None else by
    return np.asarray((states - by.mean(0)) / (by.std(0) + 1e-6))


def ridge(states: np.ndarray, harmful: np.ndarray) -> np.ndarray:
    """(H) weights of ridge regression of +-1 on states (N, H), penalty `RIDGE` a row, solved in the N x N form."""
    gram = states @ states.T + RIDGE * len(states) * np.eye(len(states))
    return np.asarray(states.T @ np.linalg.solve(gram, np.where(harmful, 1.0, -1.0)))


def folded(states: np.ndarray, harmful: np.ndarray, families: np.ndarray) -> np.ndarray:
    """Scores of a probe that never saw the row's family; states are standardised over its training rows."""
    names = sorted(set(families.tolist()))
    fold = np.array([names.index(family) % FOLDS for family in families])
    scores = np.zeros(len(states))
    for number in range(FOLDS):
        test = fold == number
        known = states[~test]
        scores[test] = standardised(states[test], known) @ ridge(standardised(known), harmful[~test])
    return scores


def interval(scores: np.ndarray, harmful: np.ndarray, families: np.ndarray) -> dict[str, float]:
    """AUC and its 95 % interval over resampled families."""
    rng, names = np.random.default_rng(0), np.array(sorted(set(families.tolist())))
    places = {name: np.flatnonzero(families == name) for name in names}
    found = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([places[name] for name in rng.choice(names, len(names))])
        found.append(auc(scores[rows], harmful[rows]))
    low, high = np.quantile(found, (0.025, 0.975))
    return {"auc": auc(scores, harmful), "low": float(low), "high": float(high), "families": len(names)}


class Seen(NamedTuple):
    """One modality of a split."""

    middle: np.ndarray
    """(N, H) states at `LAYER`, at the last token of the prompt."""
    last: np.ndarray
    """(N, H) states that choose the first token."""
    refusal: np.ndarray
    """(N) log p("I") as the first token."""
    harmful: np.ndarray
    families: np.ndarray


@torch.inference_mode()
def seen(loaded: Loaded, split: str, kind: str, batch: int = 16) -> Seen:
    """All of it in one pass a row."""
    rows = twins.samples(split, kind)  # type: ignore[arg-type]
    token = refusal_token(loaded)
    found: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(rows), batch):
        some = [row.messages for row in rows[start : start + batch]]
        inputs = encode(loaded, some, add_generation_prompt=True, padding_side="left")
        out = loaded.model(**inputs, output_hidden_states=True, use_cache=False, logits_to_keep=1)
        logp = out.logits[:, -1].float().log_softmax(-1)[:, token]
        states = (out.hidden_states[layer][:, -1].float().numpy() for layer in (LAYER, -1))
        found.append((*states, logp.numpy()))
    parts = [np.concatenate(each) for each in zip(*found, strict=True)]
    marks = np.array([bool(row.harmful) for row in rows]), np.array([row.cluster for row in rows])
    return Seen(*parts, *marks)


def table(model: str, adapter: str | None, split: str, modalities: list[str]) -> dict[str, Any]:
    """Every modality of a model."""
    loaded = load(model, adapter=adapter, dtype="float32", device="cpu")
    train = {kind: seen(loaded, "train", kind) for kind in dict.fromkeys(["text", *modalities])}
    text = train["text"]
    known = standardised(text.middle)
    direction = known[text.harmful].mean(0) - known[~text.harmful].mean(0)
    direction /= np.linalg.norm(direction)
    unit = float((known @ direction).std())
    found: dict[str, Any] = {}
    for kind in modalities:
        at, own = seen(loaded, split, kind), train[kind]
        weights = ridge(standardised(own.middle), own.harmful)
        along = standardised(at.middle, text.middle) @ direction / unit
        scores = {
            "refusal": at.refusal,
            "own probe, folds": folded(at.last, at.harmful, at.families),
            "own probe, train": standardised(at.middle, own.middle) @ weights,
            "text's direction": standardised(at.middle) @ direction,
        }
        found[kind] = {name: interval(values, at.harmful, at.families) for name, values in scores.items()}
        found[kind]["projection"] = {side: float(along[at.harmful == (side == "harmful")].mean()) for side in SIDES}
        refused = {
            side: float((np.exp(at.refusal)[at.harmful == (side == "harmful")] > REFUSED).mean()) for side in SIDES
        }
        found[kind]["refused"] = refused
        print(model, kind, {k: round(v["auc"], 3) for k, v in found[kind].items() if "auc" in v}, refused, flush=True)
    return found


def page(results: dict[str, dict[str, Any]]) -> str:
    """The Markdown table."""
    columns = ("refusal", "own probe, folds", "own probe, train", "text's direction")
    lines = [
        "| model | modality | " + " | ".join(columns) + " | refused: harmful, benign | projection: harmful, benign |",
        "|---" * 8 + "|",
    ]
    for model, kinds in results.items():
        for kind, row in kinds.items():
            cells = [f"{row[c]['auc']:.3f} ({row[c]['low']:.2f} to {row[c]['high']:.2f})" for c in columns]
            at = row["projection"]
            said = f"{100 * row['refused']['harmful']:.0f}, {100 * row['refused']['benign']:.0f} %"
            lines.append(
                f"| {model} | {kind} | {' | '.join(cells)} | {said} | {at['harmful']:+.2f}, {at['benign']:+.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("out", type=Path), args.add_argument("models", nargs="+", help='a model, or "NAME=MODEL+ADAPTER"')
    args.add_argument("--split", choices=("validation", "test"), default="test")
    args.add_argument("--modalities", nargs="+", choices=twins.MODALITIES, default=list(twins.MODALITIES))
    a = args.parse_args()
    results = json.loads(a.out.read_text()) if a.out.is_file() else {}
    for given in a.models:
        name, _, place = given.rpartition("=")
        model, _, adapter = place.partition("+")
        results[name or model] = table(model, adapter or None, a.split, a.modalities)
        a.out.write_text(json.dumps(results, indent=1))
    print(page(results))


if __name__ == "__main__":
    main()
