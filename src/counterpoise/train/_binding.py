"""Binding images to text: the states of a request in an image are pulled to those of the same request as text.

A model that refuses in text and complies through images has learned what to refuse; the images do not reach it. Benign
requests in images are bound to their text twins here, so that what the model does with the text applies to the image
(text-guided alignment, arXiv 2410.12662; the targets are those of a known twin and not of a retrieved text). No
refusal and no harmful image is needed. Three kinds of rows share a batch:

    Bound(prompt, target)               an image request, bound to its text twin
    Bound(prompt, target, states=False) a text request as an anchor: its first token stays what it was
    Sample                              a visual instruction as an anchor: it keeps its answer

    targets = text_targets(loaded, twins, layers)    # of the model as it comes in, once; a step is then one pass
    fit(loaded, rows, Binding(layers), config, out)

Suffixes: B sequences, L layers, H hidden width, K most likely tokens, V vocabulary.
"""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Sample
from counterpoise.models import Loaded, encode_row

from ._encode import Batch, Tokens, encode_sample
from ._labels import IGNORED
from ._losses import LossOut, bare, last_valid, needs_full_logits
from ._objective import Objective
from ._text_targets import Scale, Target, target_odds

if TYPE_CHECKING:
    from ._trainable import Trainable


@dataclass(frozen=True)
class Bound:
    """A prompt that ends in a user's turn, and what the model shall be like at its last token."""

    id: str
    prompt: Conversation
    target: Target
    states: bool = True
    """Whether hidden states are pulled; off: only the distribution of the first token is kept."""


@dataclass(frozen=True)
class Binding(Objective[Bound | Sample]):
    """Sum over rows of: `state_distance` + first * KL of the first token + odds * `odds_distance` (bound rows), anchor
    * KL (text anchors), reply * mean cross-entropy of the reply (Samples). A mean over the rows of a step."""

    layers: tuple[int, ...]
    """Hidden states that are bound: 0 is the embedding, the model's depth the last one (see `late_layers`)."""
    first: float = 0.3
    anchor: float = 0.3
    reply: float = 1.0
    along: float = 0.0
    """Weight of the distance along the direction of `scale`, which is one of hundreds of dimensions otherwise."""
    scale: Scale | None = None
    """Units of distance; without them every layer is measured by the length of its target, as in the paper. That
    length is mostly the same vector in every text (92 to 95 % in the pocket's layers 16 and 20), so that early layers
    hardly count."""
    odds: float = 0.0
    """Weight of the squared distance between the log odds of `token`, image and text, in units of the texts' variance.
    The divergence of the first token hardly sees how unlikely a refusal is; this orders benign images as their texts
    are ordered."""
    token: int | None = None
    """The first token of a refusal."""
    unit = "row"

    def __post_init__(self) -> None:
        if not self.layers or list(self.layers) != sorted(set(self.layers)) or self.layers[0] < 0:
            raise InputError(f"binding: layers {self.layers}; name one or more, from 0 up, in ascending order")
        if min(self.first, self.anchor, self.reply, self.along, self.odds) < 0:
            raise InputError("binding: the weights first, anchor, reply, along and odds must not be below 0")
        if self.odds and (self.scale is None or self.token is None):
            raise InputError("binding: a weight of the odds of a refusal needs its first token, and a scale")
        if self.along and self.scale is None:
            raise InputError("binding: a weight along a direction needs a scale, which holds the direction")

    def encode(self, loaded: Loaded, row: Bound | Sample, limit: int | None) -> tuple[Tokens, ...] | None:
        """One sequence for a prompt; those of `encode_sample` for a Sample. A prompt of more than `limit` tokens would
        lose its end, and is left out. Raises InputError for a target of another number of layers."""
        if isinstance(row, Sample):
            return encode_sample(loaded, row, limit)
        if len(row.target.states) != len(self.layers):
            raise InputError(f"{row.id}: its target has {len(row.target.states)} layers, the loss {len(self.layers)}")
        encoded = encode_row(loaded, row.prompt, add_generation_prompt=True)
        if limit is not None and len(encoded.ids) > limit:
            return None
        pull, keep = (1.0, self.first) if row.states else (0.0, self.anchor)
        images = tuple(image.sha256 for message in row.prompt for image in message.images)
        target = row.target
        targets = {"states": target.states, "tokens": target.tokens, "logprobs": target.logprobs}
        targets["weights"] = torch.tensor([pull, keep])
        return (Tokens(encoded, (IGNORED,) * len(encoded.ids), images, targets=targets),)

    def loss(self, model: "Trainable", batch: Batch) -> LossOut:
        """One pass for all kinds of rows. The metrics `distance`, `first`, `anchor` and `reply` are sums over the rows
        of their kind, like the loss, and so come out as means over all rows of a step."""
        inner, whole = (
            bare(model),
            needs_full_logits(model, dataclasses.replace(batch, labels=batch.inputs["input_ids"])),
        )
        out = (inner if whole else inner.base_model)(**batch.inputs, use_cache=False, output_hidden_states=True)
        given_BT = out.logits if whole else out.last_hidden_state

        def logits(place: Any) -> Tensor:
            chosen = given_BT[place]
            found: Tensor = chosen if whole else inner.get_output_embeddings()(chosen)
            return found.float()

        loss, metrics = given_BT.new_zeros((), dtype=torch.float32), {}
        targets_BT = batch.labels[:, 1:]
        keep_BT = targets_BT != IGNORED
        if keep_BT.any():
            rows_N = batch.rows[torch.nonzero(keep_BT)[:, 0]]
            before = torch.cat([keep_BT, torch.zeros_like(keep_BT[:, :1])], dim=1)
            reply = mean_cross_entropy(logits(before), targets_BT[keep_BT], rows_N, batch.n_rows).sum()
            loss, metrics["reply"] = loss + self.reply * reply, float(reply.detach())
        if batch.targets:
            last_B = last_valid(batch.inputs["attention_mask"])
            ends = torch.arange(len(last_B), device=last_B.device), last_B
            states_BLH = torch.stack([out.hidden_states[layer][ends] for layer in self.layers], dim=1)
            far_B = self._distance(states_BLH, batch.targets["states"])
            first_BV = logits(ends)
            kl_B = first_token_kl(first_BV, batch.targets["tokens"], batch.targets["logprobs"])
            pull_B, keep_B = batch.targets["weights"].unbind(1)
            loss = loss + (pull_B * far_B + keep_B * kl_B).sum()
            bound_B = pull_B > 0
            if self.odds and self.scale is not None and self.token is not None:
                known = batch.targets["tokens"], batch.targets["logprobs"]
                off_B = odds_distance(first_BV, *known, self.token) / self.scale.odds.to(first_BV.device)
                off = (pull_B * off_B).sum()
                loss = loss + self.odds * off
                metrics["odds"] = float(off.detach())
            with torch.no_grad():
                metrics |= {"distance": float((pull_B * far_B).sum()), "first": float(kl_B[bound_B].sum())}
                metrics["anchor"] = float(kl_B[~bound_B].sum())
        return LossOut(loss, batch.n_rows, metrics)

    def _distance(self, states_BLH: Tensor, target_BLH: Tensor) -> Tensor:
        if self.scale is None:
            return state_distance(states_BLH, target_BLH)
        scale = {name: value.to(states_BLH.device) for name, value in vars(self.scale).items()}
        far_B = state_distance(states_BLH, target_BLH, scale["spread"])
        return far_B + self.along * distance_along(states_BLH, target_BLH, scale["direction"], scale["along"])


def state_distance(states_BLH: Tensor, target_BLH: Tensor, spread_L: Tensor | None = None) -> Tensor:
    """(B) mean over layers of ||h - t||^2 / ||t||^2, or / spread, in float32.

    0 where states and targets are equal; with `spread`, 1 is what the mean of all targets would reach. A target that is
    0 in every layer counts as 0: such rows of a batch are bound to nothing.
    """
    states_BLH, target_BLH = states_BLH.float(), target_BLH.float()
    norm_BL = target_BLH.square().sum(-1)
    unit_BL = norm_BL if spread_L is None else spread_L.expand_as(norm_BL)
    far_BL = (states_BLH - target_BLH).square().sum(-1) / unit_BL.clamp_min(torch.finfo(torch.float32).tiny)
    return torch.where(norm_BL > 0, far_BL, torch.zeros_like(far_BL)).mean(-1)


def distance_along(states_BLH: Tensor, target_BLH: Tensor, direction_LH: Tensor, along_L: Tensor) -> Tensor:
    """(B) mean over layers of the squared distance along one direction a layer, in units of the texts' variance there.
    Targets that are 0 count as 0, as in `state_distance`."""
    target_BLH = target_BLH.float()
    step_BL = ((states_BLH.float() - target_BLH) * direction_LH).sum(-1)
    given_BL = target_BLH.square().sum(-1) > 0
    return torch.where(given_BL, step_BL.square() / along_L, torch.zeros_like(step_BL)).mean(-1)


def odds_distance(logits_BV: Tensor, tokens_BK: Tensor, logprobs_BK1: Tensor, token: int) -> Tensor:
    """(B) squared distance of a token's log odds from the target's, in float32; where the target only bounds them from
    above, what is below the bound counts as 0. A row without a target counts as 0."""
    aim_B, known_B = target_odds(tokens_BK, logprobs_BK1, token)
    logits_BV = logits_BV.float()
    others_BV = logits_BV.index_fill(1, torch.tensor([token], device=logits_BV.device), float("-inf"))
    off_B = logits_BV[:, token] - others_BV.logsumexp(-1) - aim_B
    off_B = torch.where(known_B, off_B, off_B.clamp_min(0))
    return torch.where((logprobs_BK1 != 0).any(1), off_B.square(), torch.zeros_like(off_B))


def first_token_kl(logits_BV: Tensor, tokens_BK: Tensor, logprobs_BK1: Tensor) -> Tensor:
    """(B) KL(target || model) in nats over the target's K most likely tokens and all others as one more outcome.

    Pooling can only lower the divergence: it is 0 where the distributions are equal and at most that of the whole
    vocabulary. A row whose target holds no probability (no target at all) counts as 0.
    """
    logp_BV = F.log_softmax(logits_BV.float(), dim=-1)
    own_BK = logp_BV.gather(1, tokens_BK)
    pooled_B1 = torch.log1p(-own_BK.exp().sum(1, keepdim=True).clamp(max=1 - 1e-6))
    own_BK1 = torch.cat([own_BK, pooled_B1], dim=1)
    given_B = (logprobs_BK1 != 0).any(1)
    kl_B = (logprobs_BK1.exp() * (logprobs_BK1 - own_BK1)).sum(1)
    return torch.where(given_B, kl_B, torch.zeros_like(kl_B))


def mean_cross_entropy(logits_NV: Tensor, targets_N: Tensor, rows_N: Tensor, n_rows: int) -> Tensor:
    """(rows) mean negative log likelihood of the tokens of each row, 0 for a row without any: a long answer weighs as
    much as a short one. `rows_N` is the row of each token."""
    loss_N = F.cross_entropy(logits_NV, targets_N, reduction="none")
    counts = torch.bincount(rows_N, minlength=n_rows)
    return loss_N.new_zeros(n_rows).index_add(0, rows_N, loss_N) / counts.clamp_min(1)
