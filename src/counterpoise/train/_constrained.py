"""Further objectives: constrained SFT (Qi et al. 2024), the plain language-model loss, and rows that are never cut."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.models import Loaded

from ._encode import Batch, Tokens
from ._labels import IGNORED
from ._losses import LossOut, label_logprobs, sft_loss
from ._objective import Objective, digest

if TYPE_CHECKING:
    from ._trainable import Trainable

R = TypeVar("R")
MIN_WEIGHT = 1e-3  # of the published trainer: a token's gradient never vanishes


@dataclass(frozen=True)
class ConstrainedSFT(Objective[Sample]):
    """SFT that holds the first tokens of a reply near the model that came in (arXiv 2406.05946, section 4).

    Where a token has become likelier than under the reference, its push fades: the faster, the larger its beta. With
    all betas near 0 it is SFT. The reference is the model with its adapters off, without dropout.
    """

    first: float = 0.5
    """beta of the first token of a reply."""
    early: float = 2.0
    """beta of its tokens 2 to `length`."""
    later: float = 0.1
    """beta of all tokens after these."""
    length: int = 5
    """How many tokens are held more tightly."""

    def __post_init__(self) -> None:
        if min(self.first, self.early, self.later) <= 0 or self.length < 1:
            raise InputError(f"{self}: every beta must be above 0, and length at least 1")

    def betas(self, places_N: Tensor) -> Tensor:
        """beta (N) of the tokens at these places in their replies, counted from 1."""
        beta_N = torch.full(places_N.shape, self.later, device=places_N.device)
        beta_N[places_N <= self.length] = self.early
        beta_N[places_N == 1] = self.first
        return beta_N

    def loss(self, model: "Trainable", batch: Batch) -> LossOut:
        with model.reference(), torch.no_grad():
            reference_N, _ = label_logprobs(model, batch)
        logprobs_N, _ = label_logprobs(model, batch)
        return constrained_loss(logprobs_N, reference_N, self.betas(reply_places(batch.labels)))


def reply_places(labels_BT: Tensor) -> Tensor:
    """(N) place of each labelled token in its own reply, from 1, in the order of `label_logprobs`.

    A reply is an unbroken run of labelled tokens; the template's opening of it carries no label and is not counted.
    """
    keep_BT = labels_BT[:, 1:] != IGNORED
    count_BT = keep_BT.long().cumsum(1)
    before_BT = torch.where(keep_BT, torch.zeros_like(count_BT), count_BT).cummax(1).values  # labelled before this run
    return (count_BT - before_BT)[keep_BT]


def constrained_loss(logprobs_N: Tensor, reference_N: Tensor, beta_N: Tensor) -> LossOut:
    """Constrained SFT on labelled tokens (arXiv 2406.05946, eq. 3), summed:

        l_n = -(2 / beta_n) log sigmoid(beta_n D_n),   D_n = log p(y_n) - log p_ref(y_n)

    Its gradient is that of cross-entropy times w_n = 2 (1 - sigmoid(beta_n D_n)), and so it is computed: the loss that
    is returned is sum w_n (-log p(y_n)) with w held fixed and at least 1e-3, as the authors' trainer does. Metrics: the
    sums of l (`objective`), of w (`weight`), and of D over the tokens (`drift`).
    """
    with torch.no_grad():
        drift_N = logprobs_N - reference_N
        weight_N = (2 * torch.sigmoid(-beta_N * drift_N)).clamp_min(MIN_WEIGHT)
        objective_N = -2 / beta_N * F.logsigmoid(beta_N * drift_N)
    loss = -(weight_N * logprobs_N).sum()
    metrics = {"objective": objective_N, "weight": weight_N, "drift": drift_N}
    return LossOut(loss, len(logprobs_N), {name: float(value.sum()) for name, value in metrics.items()})


@dataclass(frozen=True)
class WholeText(Objective[Sample]):
    """The language-model loss over the whole text, prompt included: what several papers' scripts train, and what
    teaches a rewriter to write the unsafe text too. Image tokens carry no loss."""

    def encode(self, loaded: Loaded, row: Sample, limit: int | None) -> tuple[Tokens, ...] | None:
        found = super().encode(loaded, row, limit)
        image = getattr(loaded.model.config, "image_token_id", None)
        return found and tuple(
            replace(tokens, labels=tuple(IGNORED if one == image else one for one in tokens.row.ids))
            for tokens in found
        )

    def loss(self, model: "Trainable", batch: Batch) -> LossOut:
        return sft_loss(model, batch)


@dataclass(frozen=True)
class Uncut(Objective[R], Generic[R]):
    """An objective whose rows are trained whole or not at all: one that `max_length` would cut inside a reply is left
    out, and counted with the others that do not fit."""

    inner: Objective[R]

    @property
    def unit(self) -> str:  # type: ignore[override]
        return self.inner.unit

    @property
    def role(self) -> str | None:  # type: ignore[override]
        return self.inner.role

    def samples(self, row: R) -> Sequence[Sample]:
        return self.inner.samples(row)

    def encode(self, loaded: Loaded, row: R, limit: int | None) -> tuple[Tokens, ...] | None:
        found = self.inner.encode(loaded, row, limit)
        return None if found is None or any(tokens.cut for tokens in found) else found

    def size(self, row: Sequence[Tokens]) -> int:
        return self.inner.size(row)

    def count(self, row: Sequence[Tokens]) -> int:
        return self.inner.count(row)

    def loss(self, model: "Trainable", batch: Batch) -> LossOut:
        return self.inner.loss(model, batch)

    def fingerprint(self) -> str:
        return digest(("uncut", self.inner.fingerprint()))
