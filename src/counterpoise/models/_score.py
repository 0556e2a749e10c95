"""Log probabilities of given texts, and hidden states: one forward pass each, nothing is generated.

Many questions about one image are asked together: the image is encoded once, the prompts' common beginning read once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from counterpoise.base import InputError

from ._decoding import Steps, keeps_tokens
from ._encoding import EncodedRow, collate_rows
from ._finite import check_model, not_finite
from ._loaded import Loaded
from ._steering import decoder_layers
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
    first = _numbers(loaded, steps.forward()).log_softmax(-1)  # (B, V)
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


def _numbers(loaded: Loaded, logits: Tensor) -> Tensor:
    """The same logits (B, V), NaN in rows without numbers. Raises EngineError when the model is the cause."""
    if bool((bad := not_finite(logits)).any()):
        check_model(loaded, int(bad.sum()), 0)
        logits = logits.masked_fill(bad[:, None], float("nan"))
    return logits


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
    with _read_exactly(loaded.model, tokens) as seen:
        logits = _numbers(loaded, Steps(loaded, collate_rows(loaded, rows, padding_side="left")).forward())
    found = logits.log_softmax(-1)[:, list(tokens)].tolist()
    hidden = seen[0][:, -1].float().cpu().numpy()
    return [Look(tuple(one), state) for one, state in zip(found, hidden, strict=True)]


@contextmanager
def _read_exactly(model: Any, tokens: Sequence[int]) -> Iterator[list[Tensor]]:
    """Yields what the output layer is given, pass by pass; and its logits of `tokens` are computed in float32.

    A logit of about 20 in bfloat16 is a multiple of 1/8, and so is the difference of two of them: a probability that
    takes few values, and no threshold in between. Only the rows of these tokens are multiplied again. What a model does
    to its logits behind the layer (scaling, a soft cap) then happens in float32 too. An output layer that is not a
    plain linear one (quantised, with an adapter on it, offloaded) is left as it is.
    """
    head, seen, places = model.get_output_embeddings(), list[Tensor](), list(tokens)
    exact = type(head) is torch.nn.Linear and head.weight.dtype in (torch.bfloat16, torch.float16)
    exact = exact and not head.weight.is_meta  # offloaded: the rows are not here
    weight = head.weight[places].float() if exact else None
    bias = head.bias[places].float() if exact and head.bias is not None else None

    def hook(_: Any, given: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        seen.append(given[0])
        if weight is None:
            return None
        found = output.float()
        found[..., places] = torch.nn.functional.linear(given[0].float(), weight, bias)
        return found

    handle = head.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


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


class _DeepEnough(Exception):
    """Ends a pass behind the deepest block that is wanted."""


@contextmanager
def last_states(model: Any, layers: Sequence[int], *, stop: bool = False) -> Iterator[dict[int, Tensor]]:
    """Records the state (B, d) of the last position behind each of the blocks `layers` (from 1) in every pass that runs
    inside the block, the latest pass standing; what the model computes is unchanged. With `stop`, a pass ends behind
    the deepest of them with `_DeepEnough`. Raises InputError for a layer that the model does not have.
    """
    blocks = decoder_layers(model)
    if wrong := [layer for layer in layers if not 1 <= layer <= len(blocks)]:
        raise InputError(f"layer {wrong[0]}: {type(model).__name__} has the blocks 1 to {len(blocks)}")
    deepest, kept = max(layers), dict[int, Tensor]()

    def keep(layer: int) -> Callable[..., None]:
        def hook(_: Any, __: Any, output: Any) -> None:
            kept[layer] = (output[0] if isinstance(output, tuple) else output)[:, -1]
            if stop and layer == deepest:
                raise _DeepEnough

        return hook

    handles = [blocks[layer - 1].register_forward_hook(keep(layer)) for layer in dict.fromkeys(layers)]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def layers_batch(loaded: Loaded, rows: Sequence[EncodedRow], layers: Sequence[int]) -> list[FloatArray]:
    """Of each row the states (len(layers), d) in float32 behind these blocks at the last token, in one pass that ends
    at the deepest one. The last block's is the state before the final norm."""
    batch = collate_rows(loaded, rows, padding_side="left")
    with last_states(loaded.model, layers, stop=True) as kept, suppress(_DeepEnough):
        loaded.model(**batch, use_cache=False)
    found = torch.stack([kept[layer].float().to("cpu") for layer in layers], dim=1)
    if bool((bad := ~torch.isfinite(found).flatten(1).all(1)).any()):
        check_model(loaded, int(bad.sum()), 0)
    return list(found.numpy())


class _Shared(NamedTuple):
    head: EncodedRow
    """The common beginning, with the images."""
    tails: list[list[int]]
    """What follows it in each row: at least one token."""
    places: list[int]


def by_images(rows: Sequence[EncodedRow]) -> dict[int, list[int]]:
    """Places of rows with the very same processed images, in order of first appearance; rows without images are one
    group."""
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(id(row.images), []).append(place)
    return groups


@torch.inference_mode()
def look_shared_batch(loaded: Loaded, rows: Sequence[EncodedRow], tokens: Sequence[int]) -> list[Look]:
    """`look_batch` in two passes: the common beginnings of rows that share their images, then all that follows them.

    The attention cache of a beginning is shared by its rows. Values differ from those of `look_batch` by rounding only.
    """
    groups = [part for places in by_images(rows).values() for part in _split(loaded, rows, places)]
    if len(groups) == len(rows):  # nothing is shared
        return look_batch(loaded, rows, tokens)
    steps = Steps(loaded, collate_rows(loaded, [group.head for group in groups], padding_side="left"))
    # Mllama: later tokens need rows of that mask, which are not made here
    if "cross_attention_mask" in steps.kwargs or not keeps_tokens(steps.cache):
        return look_batch(loaded, rows, tokens)
    _numbers(loaded, steps.forward())
    owner = [number for number, group in enumerate(groups) for _ in group.tails]
    tails = [tail for group in groups for tail in group.tails]
    logits, hidden = _follow(steps, owner, tails, tokens)
    found = logits.log_softmax(-1)[:, list(tokens)].tolist()
    states = hidden.float().cpu().numpy()
    looks: list[Look | None] = [None] * len(rows)
    for n, place in enumerate(place for group in groups for place in group.places):
        looks[place] = Look(tuple(found[n]), states[n])
    return looks  # type: ignore[return-value] # every place was filled


def _split(loaded: Loaded, rows: Sequence[EncodedRow], places: Sequence[int]) -> Iterator[_Shared]:
    """One group with its common beginning, or one group per row when an image stands behind it."""
    ids = [rows[place].ids for place in places]
    shortest = min(map(len, ids)) - 1  # every row keeps a token of its own, whose logits are wanted
    length = next((n for n in range(shortest) if len({row[n] for row in ids}) > 1), shortest)
    image = getattr(loaded.model.config, "image_token_id", None)
    late = rows[places[0]].images is not None and (image is None or any(image in row[length:] for row in ids))
    if late or length < 1:
        yield from (_Shared(_cut(rows[place], -1), [rows[place].ids[-1:]], [place]) for place in places)
    else:
        yield _Shared(_cut(rows[places[0]], length), [row[length:] for row in ids], list(places))


def _cut(row: EncodedRow, length: int) -> EncodedRow:
    return row._replace(ids=row.ids[:length], types=row.types[:length] if row.types is not None else None)


def _follow(
    steps: Steps, owner: Sequence[int], tails: Sequence[Sequence[int]], tokens: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Logits (N, V) in float32 behind each tail, whose beginning is row `owner` of `steps`, and the hidden states
    (N, d) that the output layer read there."""
    with _read_exactly(steps.model, tokens) as seen:
        logits, columns = steps.follow(owner, tails, [len(tail) - 1 for tail in tails])
    column = torch.tensor([columns.index(len(tail) - 1) for tail in tails], device=logits.device)
    row = torch.arange(len(tails), device=logits.device)
    return logits[row, column], seen[-1][row, column]
