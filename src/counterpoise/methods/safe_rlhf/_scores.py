"""Reward and cost models: a head on the last token of prompt + reply, trained on pairs, read by the engine.

The score is read at the reply's end of turn, found by the attention mask: at position -1 short rows of a right-padded
batch would be scored on padding. `ScoreModel` loads what was trained; a cost above 0 means unsafe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Sample, assistant
from counterpoise.data import Preference, Reply
from counterpoise.train import Batch, LossOut, Objective, Tokens, Trainable, encode_sample, load_head

from ._math import cm_loss, rm_loss

if TYPE_CHECKING:
    from counterpoise.models import Engine, Loaded

Floats = NDArray[np.float64]
REWARD, COST = "reward", "cost"
"""Names of the LoRA groups and of the heads."""


def scored_tokens(loaded: "Loaded", prompt: Conversation, reply: str, limit: int | None) -> Tokens | None:
    """Prompt and reply up to the end of turn, whose state is scored; None when they are longer than `limit`: a reply
    that was cut would be scored by its beginning. A row needs a token to be scored: an empty reply is a full stop."""
    said = reply if reply.strip() else "."
    (tokens,) = encode_sample(loaded, Sample("", (*prompt, assistant(said))), None, last_only=True) or ()
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
        return self.of_heads({REWARD: model.scores(REWARD, batch)}, batch.targets)

    def heads(self) -> dict[str, int]:
        return {REWARD: 1}

    def of_heads(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> LossOut:
        scores_B = outputs[REWARD][:, 0]
        return rm_loss(scores_B[0::2], scores_B[1::2], self.mu)


@dataclass(frozen=True)
class CostModel(Objective[Preference]):
    """Pairs in the order of safety, the less safe reply first, with the sign of each; see `cm_loss`. `rank`: pairs
    whose order is learned, all or those with a reply that is not said to be safe."""

    k: float = 1.0
    mu: float = 1e-3
    sign: Literal["graded", "binary"] = "binary"
    rank: Literal["unsafe", "all"] = "unsafe"
    role = COST
    unit = "row"

    def encode(self, loaded: "Loaded", row: Preference, limit: int | None) -> tuple[Tokens, ...] | None:
        assert row.safer is not None, "rows without an order are left out before training"
        replies = (row.replies[1 - row.safer], row.replies[row.safer])
        found = [scored_tokens(loaded, row.prompt, reply.text, limit) for reply in replies]
        ranked = torch.tensor(float(ranks(row, self.rank)))
        kept = tuple(
            Tokens(tokens.row, tokens.labels, tokens.key,
                   targets={"sign": torch.tensor(float(sign_of(reply, self.sign))), "ranked": ranked})
            for tokens, reply in zip(found, replies, strict=True)
            if tokens is not None
        )  # fmt: skip
        return kept if len(kept) == 2 else None

    def loss(self, model: Trainable, batch: Batch) -> LossOut:
        return self.of_heads({COST: model.scores(COST, batch)}, batch.targets)

    def heads(self) -> dict[str, int]:
        return {COST: 1}

    def of_heads(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> LossOut:
        costs_B, signs_B, ranked_B = outputs[COST][:, 0], targets["sign"], targets["ranked"]
        return cm_loss(costs_B[0::2], costs_B[1::2], signs_B[0::2], signs_B[1::2], ranked_B[0::2], k=self.k, mu=self.mu)


def ranks(row: Preference, which: Literal["unsafe", "all"] = "unsafe") -> bool:
    """Whether the order of a pair's costs is learned. Between two safe replies an order by safety says little of harm:
    a rule or an annotator puts a reply with a reason, or one beside the point, before a bare refusal."""
    return which == "all" or any(reply.safe is not True for reply in row.replies)


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
