"""Reward and cost models: a head on the last token of prompt + reply, trained on pairs, read by the engine.

The score is read at the reply's end of turn, found by the attention mask: at position -1 short rows of a right-padded
batch would be scored on padding. `ScoreModel` loads what was trained; a cost above 0 means unsafe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Sample, assistant
from counterpoise.data import Preference, Reply
from counterpoise.evals.stats import Interval, auc, platt, wilson
from counterpoise.train import Batch, LossOut, Objective, Tokens, Trainable, encode_sample, load_head

from ._math import cm_loss, rm_loss

if TYPE_CHECKING:
    from counterpoise.models import Engine, Loaded

Floats = NDArray[np.float64]
REWARD, COST = "reward", "cost"
"""Names of the LoRA groups and of the heads."""


def scored_tokens(loaded: "Loaded", prompt: Conversation, reply: str, limit: int | None) -> Tokens | None:
    """Prompt and reply up to the end of turn, whose state is scored; None when they are longer than `limit`: a reply
    that was cut would be scored by its beginning."""
    (tokens,) = encode_sample(loaded, Sample("", (*prompt, assistant(reply))), None, last_only=True) or ()
    end = max(place for place, label in enumerate(tokens.labels) if label != -100) + 1
    if limit is not None and end > limit:
        return None
    types = tokens.row.types
    row = tokens.row._replace(ids=tokens.row.ids[:end], types=None if types is None else types[:end])
    return Tokens(row, tokens.labels[:end], tokens.key)


@dataclass(frozen=True)
class RewardModel(Objective[Preference]):
    """Pairs in the order of helpfulness; see `rm_loss`."""

    mu: float = 1e-3
    role = REWARD
    unit = "row"

    def encode(self, loaded: "Loaded", row: Preference, limit: int | None) -> tuple[Tokens, ...] | None:
        pair = row.by_helpfulness()
        assert pair is not None, "rows without an order are left out before training"
        found = [scored_tokens(loaded, row.prompt, reply, limit) for reply in (pair.chosen, pair.rejected)]
        kept = tuple(tokens for tokens in found if tokens is not None)
        return kept if len(kept) == 2 else None

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        return self.of(model.scores(REWARD, batch)[:, 0])

    def of(self, scores_B: Tensor, signs_B: Tensor | None = None) -> LossOut:
        """Of scores of pairs, the more helpful reply first."""
        return rm_loss(scores_B[0::2], scores_B[1::2], self.mu)


@dataclass(frozen=True)
class CostModel(Objective[Preference]):
    """Pairs in the order of safety, the less safe reply first, with the sign of each; see `cm_loss`."""

    k: float = 1.0
    mu: float = 1e-3
    sign: Literal["graded", "binary"] = "graded"
    role = COST
    unit = "row"

    def encode(self, loaded: "Loaded", row: Preference, limit: int | None) -> tuple[Tokens, ...] | None:
        assert row.safer is not None, "rows without an order are left out before training"
        replies = (row.replies[1 - row.safer], row.replies[row.safer])
        found = [scored_tokens(loaded, row.prompt, reply.text, limit) for reply in replies]
        signs = [torch.tensor(float(sign_of(reply, self.sign))) for reply in replies]
        kept = tuple(
            Tokens(tokens.row, tokens.labels, tokens.key, targets={"sign": sign})
            for tokens, sign in zip(found, signs, strict=True)
            if tokens is not None
        )
        return kept if len(kept) == 2 else None

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        return self.of(model.scores(COST, batch)[:, 0], batch.targets["sign"])

    def of(self, costs_B: Tensor, signs_B: Tensor) -> LossOut:
        """Of costs of pairs, the less safe reply first, and the replies' signs."""
        return cm_loss(costs_B[0::2], costs_B[1::2], signs_B[0::2], signs_B[1::2], k=self.k, mu=self.mu)


def sign_of(reply: Reply, kind: Literal["graded", "binary"] = "graded") -> int:
    """The side of 0 on which a reply's cost should be, and how far: minus its harmless rate, or -1 (safe) and 1. A
    reply without a grade has the binary sign, one without any label 0."""
    if kind == "graded" and reply.harmless is not None:
        return -reply.harmless
    return 0 if reply.safe is None else -1 if reply.safe else 1


class ScoreModel:
    """A trained reward or cost model on the engine."""

    def __init__(self, loaded: "Loaded", folder: Path, head: str, engine: "Engine | None" = None):
        from counterpoise.models import Engine

        width = loaded.model.config.get_text_config().hidden_size
        layer = torch.nn.Linear(width, 1, bias=False)
        load_head(folder, head, layer)
        self.loaded, self.engine = loaded, engine or Engine(loaded)
        self.weight: Floats = layer.weight.detach()[0].double().numpy()

    @classmethod
    def load(cls, base: str, folder: str | Path, head: str, **options: Any) -> "ScoreModel":
        """The model `base` with the adapter and the head in `folder`. Raises InputError when they do not fit."""
        from counterpoise.models import load

        return cls(load(base, adapter=folder, **options), Path(folder), head)

    def scores(self, asked: Sequence[tuple[Conversation, str]]) -> Floats:
        """(n,) scores of replies to conversations, in order."""
        rows = []
        for prompt, reply in asked:
            tokens = scored_tokens(self.loaded, prompt, reply, None)
            assert tokens is not None
            rows.append(tokens.row)
        return self.rows(rows)

    def said(self, asked: Sequence[tuple[Conversation, str]]) -> Floats:
        """`scores`, of replies as a policy gave them: a row needs a token to be scored, an empty one is a full stop."""
        return self.scores([(prompt, reply if reply.strip() else ".") for prompt, reply in asked])

    def rows(self, rows: Sequence[Any]) -> Floats:
        """(n,) scores of encoded rows at their last token."""
        looks = self.engine.look(rows, [0])
        return np.array([float(look.hidden.astype(np.float64) @ self.weight) for look in looks])


def apart(loaded: "Loaded", folder: Path, head: str) -> ScoreModel | None:
    """A reward or cost model that was trained on other weights than the loaded ones, on its own base beside them; None
    of one that belongs on them. Raises InputError where its base cannot be found or loaded."""
    from counterpoise.base import notice
    from counterpoise.models import adapter_base, find_folder, on_other_base

    if loaded.adapter is None and not on_other_base(folder, Path(loaded.path)):
        return None
    base = adapter_base(folder)
    if on_other_base(folder, find_folder(base)):
        raise InputError(f"{folder}: the {head} model was trained on other weights than {base} has now; train it again")
    notice(f"{folder}: the {head} model has a base of its own, {base}; it is loaded beside {loaded.name}")
    return ScoreModel.load(base, folder, head, dtype=loaded.dtype, device=loaded.device)


# Metrics


class Share(NamedTuple):
    """A share with its denominator and 95 % interval; None of nothing."""

    value: float | None
    n: int
    interval: Interval | None


def share(hits: Sequence[bool]) -> Share:
    """Of a list of outcomes."""
    n, k = len(hits), sum(hits)
    return Share(k / n, n, wilson(k, n)) if n else Share(None, 0, None)


def ranking_accuracy(better: Floats, worse: Floats) -> Share:
    """Pairs scored in the labelled order; a tie is wrong."""
    return share([bool(value) for value in better > worse])


def calibration_error(costs: Floats, unsafe: NDArray[np.bool_], bins: int = 10) -> float | None:
    """Expected calibration error of sigmoid(cost) as the probability of unsafe, in `bins` bins of equal width."""
    if not len(costs):
        return None
    p = 1 / (1 + np.exp(-costs))
    place = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(p[place == b].mean() - unsafe[place == b].mean()) * (place == b).mean() for b in set(place.tolist())]
    return float(sum(gaps))


def reward_metrics(model: ScoreModel, pairs: Sequence[Preference]) -> dict[str, Any]:
    """Ranking accuracy on the pairs that are ordered by helpfulness, altogether and by modality."""
    ordered = [(row, pair) for row in pairs if (pair := row.by_helpfulness()) is not None]
    found = model.scores([(pair.prompt, text) for _, pair in ordered for text in (pair.chosen, pair.rejected)])
    better, worse = found[0::2], found[1::2]
    return _by_modality("ranking", [row for row, _ in ordered], better > worse) | {"pairs": len(ordered)}


def cost_metrics(model: ScoreModel, pairs: Sequence[Preference]) -> dict[str, Any]:
    """Ranking accuracy on the pairs that are ordered by safety, and on those of them with an unsafe reply (among safe
    ones an order says little); of all replies that are said to be safe or unsafe, the share whose cost is on their side
    of 0 (with and without those of rate 0), beside the share of the larger kind; AUC; the calibration error of
    sigmoid(cost), and after Platt's calibration, whose slope and offset are those of the guard."""
    ordered = [(row, pair) for row in pairs if (pair := row.by_safety()) is not None]
    found = model.scores([(pair.prompt, text) for _, pair in ordered for text in (pair.chosen, pair.rejected)])
    right = found[1::2] > found[0::2]
    metrics = _by_modality("ranking", [row for row, _ in ordered], right)
    unsafe_pairs = [any(reply.safe is False for reply in row.replies) for row, _ in ordered]
    metrics["ranking_with_unsafe"] = _said(share([bool(v) for v in right[np.array(unsafe_pairs, bool)]]))
    said = {(row.prompt, reply.text): (row, reply) for row in pairs for reply in row.replies if reply.safe is not None}
    costs = model.scores(list(said))
    unsafe = np.array([not reply.safe for _, reply in said.values()], bool)
    graded = np.array([reply.harmless != 0 for _, reply in said.values()], bool)
    right = (costs > 0) == unsafe
    metrics |= _by_modality("sign", [row for row, _ in said.values()], right)
    metrics["sign_without_rate_0"] = _said(share([bool(v) for v in right[graded]]))
    metrics["majority"] = float(max(unsafe.mean(), 1 - unsafe.mean())) if len(unsafe) else None
    metrics["auc"], metrics["calibration_error"] = auc(costs, unsafe), calibration_error(costs, unsafe)
    metrics |= _calibration(costs, unsafe)
    return metrics | {"pairs": len(ordered), "replies": len(said)}


def calibrated(costs: Floats, slope: float, offset: float) -> Floats:
    """(n,) probabilities of unsafe by Platt's calibration."""
    found: Floats = 1 / (1 + np.exp(-np.clip(slope * costs + offset, -40, 40)))
    return found


def _calibration(costs: Floats, unsafe: NDArray[np.bool_]) -> dict[str, Any]:
    """Slope and offset that make a cost a probability (None where all replies are alike), and the calibration error of
    either half of the replies by what was fitted on the other one: none judges itself."""
    if min(unsafe.sum(), (~unsafe).sum()) < 2:
        return {"platt": None, "calibration_error_platt": None}
    first = np.zeros(len(costs), bool)
    for kind in (unsafe, ~unsafe):
        first[np.flatnonzero(kind)[::2]] = True  # replies of a pair stand side by side, safe and unsafe
    halves = (first, ~first)
    p, y = np.zeros(len(costs)), unsafe.astype(float)
    for half in halves:
        p[half] = calibrated(costs[half], *platt(costs[~half], y[~half]))
    crossed = calibration_error(np.log(p) - np.log1p(-p), unsafe)
    return {"platt": list(platt(costs, y)), "calibration_error_platt": crossed}


def _by_modality(name: str, rows: Sequence[Preference], right: NDArray[np.bool_]) -> dict[str, Any]:
    found: dict[str, Any] = {name: _said(share([bool(v) for v in right]))}
    for kind in sorted({row.modality for row in rows}):
        own = [bool(v) for row, v in zip(rows, right, strict=True) if row.modality == kind]
        found[f"{name}_{kind}"] = _said(share(own))
    return found


def _said(value: Share) -> dict[str, Any]:
    ends = (None, None) if value.interval is None else (value.interval.low, value.interval.high)
    return {"value": value.value, "n": value.n, "ci_low": ends[0], "ci_high": ends[1]}
