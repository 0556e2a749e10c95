"""Losses as pure functions of a model and a batch. Suffixes: B sequences, P pairs, T tokens, N labelled tokens,
V vocabulary, H hidden width."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from ._encode import Batch


class LossOut(NamedTuple):
    """What a loss returns: the *sum* over `n` units, so that accumulation can normalise over all of them.

    A unit is what the objective is normalised by: a labelled token (SFT), a pair (DPO), a row.
    """

    loss: Tensor
    n: int
    metrics: dict[str, float]
    """Sums, like the loss; they are divided by the total n of the step and written to metrics.jsonl."""


def bare(model: Any) -> Any:
    """The transformers model inside a `Trainable` or a PEFT wrapper (adapter layers stay in place), or itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def label_logits(model: Any, batch: "Batch") -> tuple[Tensor, Tensor]:
    """Logits (N, V) in fp32 that predict the labelled tokens, and these tokens (N).

    Only hidden states before a labelled token go through `lm_head`: with replies of 20 tokens after prompts of 200 that
    is a tenth of the logits. `batch.full_logits` takes the model's own forward instead (see `heads_agree`).
    """
    inner = bare(model)
    targets_BT = batch.labels[:, 1:]
    keep_BT = targets_BT != -100
    if batch.full_logits or needs_full_logits(model, batch):
        logits_BTV = through(model, batch, lambda: inner(**batch.inputs, use_cache=False).logits)
        return logits_BTV[:, :-1][keep_BT].float(), targets_BT[keep_BT]
    hidden = hidden_states(model, batch)
    return inner.get_output_embeddings()(hidden[:, :-1][keep_BT]).float(), targets_BT[keep_BT]


def needs_full_logits(model: Any, batch: "Batch") -> bool:
    """Asked once, of a `Trainable`'s first batch."""
    if getattr(model, "full_logits", False) is None:
        model.full_logits = False
        model.full_logits = not heads_agree(model, batch)
    return bool(getattr(model, "full_logits", False))


def label_logprobs(model: Any, batch: "Batch") -> tuple[Tensor, Tensor]:
    """log p (N) in fp32 of the labelled tokens given all before them, and the sequence (N) that each belongs to."""
    logits_NV, targets_N = label_logits(model, batch)
    rows_N = torch.nonzero(batch.labels[:, 1:] != -100)[:, 0]
    return -F.cross_entropy(logits_NV, targets_N, reduction="none"), rows_N


def sequence_logprobs(model: Any, batch: "Batch") -> Tensor:
    """log p (B) in fp32 of the labelled tokens of each sequence, summed."""
    logprobs_N, rows_N = label_logprobs(model, batch)
    return logprobs_N.new_zeros(len(batch.labels)).index_add(0, rows_N, logprobs_N)


def hidden_states(model: Any, batch: "Batch") -> Tensor:
    """The last hidden states (B, T, H): what the output layer and every score head read."""
    return through(model, batch, lambda: bare(model).base_model(**batch.inputs, use_cache=False).last_hidden_state)


def through(model: Any, batch: "Batch", forward: Callable[[], Tensor]) -> Tensor:
    """`forward()`, by the trunk where a `Trainable` has one."""
    trunk = getattr(model, "trunk", None)
    found: Tensor = forward() if trunk is None else trunk.run(model, batch, forward)
    return found


def last_valid(mask_BT: Tensor) -> Tensor:
    """(B) place of the last token that is no padding, under either padding side."""
    places = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    return (mask_BT.long() * places).argmax(1)


def sft_loss(model: Any, batch: "Batch") -> LossOut:
    """Next-token cross-entropy summed over labelled tokens: L = - sum_n log p(y_n | x, y_<n).

    With the labels of rejection-mix this is its loss (Wang et al. 2025): refusal rows carry no label after the last
    token of the reply. Divide by n for the mean that TRL and transformers report.
    """
    logits_NV, targets_N = label_logits(model, batch)
    loss = F.cross_entropy(logits_NV, targets_N, reduction="sum")
    with torch.no_grad():
        right = float((logits_NV.argmax(-1) == targets_N).sum())
    return LossOut(loss, int(targets_N.numel()), {"token_accuracy": right})


def dpo_loss(
    chosen_P: Tensor, rejected_P: Tensor, ref_chosen_P: Tensor, ref_rejected_P: Tensor, beta: float
) -> LossOut:
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7), summed over pairs:

        L = - sum_p log sigmoid(beta * [(chosen - ref_chosen) - (rejected - ref_rejected)])

    Each argument is log p of a whole reply under the policy or the reference. Metrics: `accuracy` (pairs whose chosen
    reply gained more than the rejected one), `margin`, and both rewards, beta * (log p - log p_ref).
    """
    rewards_P, others_P = beta * (chosen_P - ref_chosen_P), beta * (rejected_P - ref_rejected_P)
    margin_P = rewards_P - others_P
    loss = -F.logsigmoid(margin_P).sum()
    with torch.no_grad():
        metrics = {
            "accuracy": float((margin_P > 0).sum()),
            "margin": float(margin_P.sum()),
            "reward_chosen": float(rewards_P.sum()),
            "reward_rejected": float(others_P.sum()),
        }
    return LossOut(loss, len(margin_P), metrics)


@torch.no_grad()
def heads_agree(model: Any, batch: "Batch") -> bool:
    """Whether hidden states -> lm_head equals the model's own logits; false where a model scales or caps them."""
    if bare(model).base_model is bare(model):
        return False
    was_training = model.training
    model.eval()  # dropout would differ between the two passes, and use up random numbers
    ours, _ = label_logits(model, batch)
    theirs, _ = label_logits(model, batch.with_full_logits())
    model.train(was_training)
    return bool(torch.allclose(ours, theirs, rtol=2e-2, atol=2e-2 * float(theirs.abs().max().clamp_min(1e-6))))
