"""Log probabilities of given texts, and hidden states: one forward pass each, nothing is generated."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from counterpoise.base import InputError

from ._encoding import EncodedRow, collate_rows
from ._loaded import Loaded
from ._steps import Steps
from ._values import Look

FloatArray = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@torch.inference_mode()
def score_batch(
    loaded: Loaded, rows: Sequence[EncodedRow], options: Sequence[Sequence[list[int]]]
) -> list[list[list[float]]]:
    """log p of every token of every option (token ids) given its row: result[row][option][token].

    Each prompt is read once; its cache is then shared by its options, which follow together in one short pass. With
    options of one token, as in "A" to "D", there is no second pass.
    """
    steps = Steps(loaded, collate_rows(loaded, rows, padding_side="left"))
    first = steps.forward().log_softmax(-1)  # (B, V)
    owner = [r for r, own in enumerate(options) for _ in own]
    flat = [option for own in options for option in own]
    later = _later(steps, flat, owner) if any(len(option) > 1 for option in flat) else None
    scores = []
    for n, (row, option) in enumerate(zip(owner, flat, strict=True)):
        score = [float(first[row, option[0]])] if option else []
        if later is not None:
            score += later[n, : max(len(option) - 1, 0)].tolist()
        scores.append(score)
    result, start = [], 0
    for own in options:
        result.append(scores[start : start + len(own)])
        start += len(own)
    return result


def _later(steps: Steps, flat: Sequence[list[int]], owner: list[int]) -> Tensor:
    """log p of tokens 1.. of each option, (N, T); behind the end of an option it means nothing."""
    logits, columns = steps.follow(owner, [option[:-1] for option in flat])
    wanted = torch.zeros((len(flat), len(columns)), dtype=torch.long)
    for n, option in enumerate(flat):
        wanted[n, : len(option[1:])] = torch.tensor(option[1:])
    found: Tensor = logits.log_softmax(-1).gather(-1, wanted.to(logits.device)[..., None])[..., 0]
    return found


@torch.inference_mode()
def look_batch(loaded: Loaded, rows: Sequence[EncodedRow], tokens: Sequence[int]) -> list[Look]:
    """log p of each of `tokens` as the next token of each row, and the hidden state that chose it, in one pass."""
    seen: list[Tensor] = []
    head = loaded.model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        logits = Steps(loaded, collate_rows(loaded, rows, padding_side="left")).forward()
    finally:
        hook.remove()
    found = logits.log_softmax(-1)[:, list(tokens)].tolist()
    hidden = seen[-1][:, -1].float().cpu().numpy()
    return [Look(tuple(one), state) for one, state in zip(found, hidden, strict=True)]


@torch.inference_mode()
def hidden_batch(loaded: Loaded, rows: Sequence[EncodedRow], layer: int, position: int) -> FloatArray:
    """Hidden states (B, d) in float32 at one layer (0 = embeddings) and one position of each prompt (-1 = last)."""
    batch = collate_rows(loaded, rows, padding_side="left")
    keep = {"logits_to_keep": 1} if loaded.model._supports_logits_to_keep() else {}
    states = loaded.model(**batch, output_hidden_states=True, use_cache=False, return_dict=True, **keep).hidden_states
    if not -len(states) <= layer < len(states):
        raise InputError(f"layer {layer}: {loaded.name} has layers 0 (embeddings) to {len(states) - 1}")
    shortest = min(len(row.ids) for row in rows)
    if not -shortest <= position < shortest:
        raise InputError(f"position {position}: the shortest prompt has {shortest} tokens")
    chosen: Tensor = states[layer]
    if position < 0:
        return chosen[:, position].float().cpu().numpy()
    width = chosen.shape[1]
    places = torch.tensor([width - len(row.ids) + position for row in rows], device=chosen.device)
    return chosen[torch.arange(len(rows), device=chosen.device), places].float().cpu().numpy()
