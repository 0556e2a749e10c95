"""Many questions about one image: the image is encoded once and the prompt's common beginning is read once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ._encoding import EncodedRow, collate_rows
from ._loaded import Loaded
from ._score import look_batch
from ._steps import Steps
from ._values import Look


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
    if "cross_attention_mask" in steps.kwargs:  # Mllama: later tokens need rows of that mask, which are not made here
        return look_batch(loaded, rows, tokens)
    steps.forward()
    owner = [number for number, group in enumerate(groups) for _ in group.tails]
    tails = [tail for group in groups for tail in group.tails]
    logits, hidden = _follow(steps, owner, tails)
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


def _follow(steps: Steps, owner: Sequence[int], tails: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Logits (N, V) in float32 behind each tail, whose beginning is row `owner` of `steps`, and the hidden states
    (N, d) that the output layer read there."""
    seen: list[Tensor] = []
    hook = steps.model.get_output_embeddings().register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        logits, columns = steps.follow(owner, tails, [len(tail) - 1 for tail in tails])
    finally:
        hook.remove()
    column = torch.tensor([columns.index(len(tail) - 1) for tail in tails], device=logits.device)
    row = torch.arange(len(tails), device=logits.device)
    return logits[row, column], seen[-1][row, column]
