"""From a labelled conversation to tokens, and from several to one padded batch.

What does not fit is decided here, for one row at a time: no row's fate depends on the rows it shares a batch with.
Images are decoded when their row is encoded, step by step, and nowhere before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.models import EncodedRow, Loaded, collate_rows

from ._features import GRIDS, Key
from ._labels import IGNORED, label


@dataclass(frozen=True)
class Tokens:
    """One sequence of a training row, not padded."""

    row: EncodedRow
    labels: tuple[int, ...]
    """One per token; `IGNORED` where there is no loss."""
    key: Key = ()
    """Content hashes of its images, for the feature cache."""
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Further numbers, one per token, that the loss needs: advantages, log probabilities of the old policy."""
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    """Further tensors, one for the whole sequence, that the loss needs: states of a text twin. Under one name all
    sequences of a batch have one shape."""
    n_masked_ends: int = 0
    """1 for a rejection row, whose end of turn carries no loss."""
    cut: bool = False
    """Whether `max_length` cut off a part of its reply."""
    n_apart: int = 0
    """1 for the first sequence of a row whose replies are trained apart, since the template rewrites history."""

    def __len__(self) -> int:
        return len(self.row.ids)

    @property
    def n_labels(self) -> int:
        """Labelled tokens that are predicted (the first token of a sequence never is)."""
        return sum(label != IGNORED for label in self.labels[1:])


@dataclass(frozen=True)
class Batch:
    """What a loss sees: the model's inputs, right-padded, and labels (B, T), -100 where there is no loss."""

    inputs: dict[str, Any]
    labels: Tensor
    ids: tuple[str, ...] = ()
    keys: list[Key] = field(default_factory=list)
    """Content hashes of each sequence's images, for the feature cache."""
    full_logits: bool = False
    """Take logits from the model's own forward instead of hidden states and lm_head."""
    n_masked_ends: int = 0
    """Rejection rows whose end of turn was masked."""
    left_out: tuple[str, ...] = ()
    """Rows that max_length would have robbed of an image or of the whole reply (`collate` only)."""
    rows: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    """(B,) number within the batch of the row that each sequence belongs to; a pair has two sequences, in order."""
    values: dict[str, Tensor] = field(default_factory=dict)
    """(B, T) float32, 0 at padding: what `Tokens.values` held."""
    targets: dict[str, Tensor] = field(default_factory=dict)
    """(B, ...): what `Tokens.targets` held, 0 for the sequences that had nothing under the name."""

    @property
    def n_rows(self) -> int:
        return int(self.rows.max()) + 1 if len(self.rows) else 0

    def with_full_logits(self) -> "Batch":
        return replace(self, full_logits=True)

    def to(self, device: Any) -> "Batch":
        """The same batch with its tensors on `device`."""
        moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in self.inputs.items()}
        values = {k: v.to(device) for k, v in self.values.items()}
        targets = {k: v.to(device) for k, v in self.targets.items()}
        return replace(
            self, inputs=moved, labels=self.labels.to(device), rows=self.rows.to(device), values=values, targets=targets
        )  # fmt: skip


def encode_sample(
    loaded: Loaded, sample: Sample, limit: int | None = None, *, last_only: bool = False
) -> tuple[Tokens, ...] | None:
    """A sample that ends in an assistant turn, with labels on its replies (on the last one with `last_only`); None when
    `limit` tokens would rob it of an image or of every label.

    One sequence, or one for each reply where the chat template rewrites history. Raises InputError when a reply cannot
    be found among the tokens (see `label`), or no token carries a label.
    """
    found = label(loaded, sample, last_only=last_only)
    if any(all(one == IGNORED for one in each.labels) for each in found):
        raise InputError(f"training row {sample.id}: no token carries a label; is the reply empty?")
    key = tuple(image.sha256 for message in sample.messages for image in message.images)
    result = []
    for number, each in enumerate(found):
        tokens = Tokens(
            each.row, tuple(each.labels), key[: each.row.n_images],
            n_masked_ends=int(sample.rejection and number == 0), n_apart=int(len(found) > 1 and number == 0),
        )  # fmt: skip
        result.append(fit_length(loaded, tokens, limit))
    kept = tuple(tokens for tokens in result if tokens is not None)
    return kept if len(kept) == len(found) else None


def fit_length(loaded: Loaded, tokens: Tokens, limit: int | None) -> Tokens | None:
    """The sequence cut on the right to `limit` tokens; None when an image token or every label would be lost."""
    if limit is None or len(tokens) <= limit:
        return tokens
    image = getattr(loaded.model.config, "image_token_id", None)
    labels = tokens.labels[:limit]
    if (image is not None and image in tokens.row.ids[limit:]) or all(label == IGNORED for label in labels):
        return None
    types, cut = tokens.row.types, any(label != IGNORED for label in tokens.labels[limit:])
    row = tokens.row._replace(ids=tokens.row.ids[:limit], types=None if types is None else types[:limit])
    return replace(tokens, row=row, labels=labels, cut=cut, values={k: v[:limit] for k, v in tokens.values.items()})


def length_limit(loaded: Loaded, wanted: int | None) -> int | None:
    """`max_length` as it is used: what was asked for, or as many tokens as the model has positions."""
    return wanted if wanted is not None else loaded.positions


def pad(loaded: Loaded, rows: Sequence[Sequence[Tokens]], ids: Iterable[str] = (), *, once: bool = False) -> Batch:
    """The sequences of several rows as one batch, right-padded, in order.

    With `once`, the pixels of a set of images come once, however many sequences show it: a `FeatureStore` puts its
    features into all of them. Grids of patches come with every sequence, since positions of tokens follow from them.
    """
    flat = [tokens for row in rows for tokens in row]
    encoded, seen = [], set[Key]()
    for tokens in flat:
        repeated = once and bool(tokens.key) and tokens.key in seen
        encoded.append(_without_pixels(tokens.row) if repeated else tokens.row)
        seen.add(tokens.key)
    inputs = collate_rows(loaded, encoded, padding_side="right")
    width = inputs["input_ids"].shape[1]
    device = inputs["input_ids"].device
    labels = torch.tensor([[*tokens.labels, *[IGNORED] * (width - len(tokens))] for tokens in flat], device=device)
    names = dict.fromkeys(name for tokens in flat for name in tokens.values)
    values = {
        name: torch.tensor([_filled(tokens.values.get(name, ()), width) for tokens in flat], device=device)
        for name in names
    }
    return Batch(
        inputs, labels, tuple(ids), [tokens.key for tokens in flat],
        n_masked_ends=sum(tokens.n_masked_ends for tokens in flat),
        rows=torch.tensor([number for number, row in enumerate(rows) for _ in row], device=device), values=values,
        targets=_stacked(flat, device),
    )  # fmt: skip


def _stacked(flat: Sequence[Tokens], device: Any) -> dict[str, Tensor]:
    """The targets of every sequence under each name, zeros where it has none."""
    some = {name: value for tokens in flat for name, value in tokens.targets.items()}
    return {
        name: torch.stack([tokens.targets.get(name, torch.zeros_like(value)) for tokens in flat]).to(device)
        for name, value in some.items()
    }


def _without_pixels(row: EncodedRow) -> EncodedRow:
    if row.images is None:
        return row
    tensors = {name: value for name, value in row.images.tensors.items() if name.endswith(GRIDS)}
    return row._replace(images=row.images._replace(tensors=tensors))


def _filled(numbers: Sequence[float], width: int) -> list[float]:
    return [*map(float, numbers), *[0.0] * (width - len(numbers))]


def collate(
    loaded: Loaded, samples: Sequence[Sample], *, max_length: int | None = None, hash_images: bool = False
) -> Batch:
    """Encode, label and pad samples that end in an assistant turn: one batch, for those who want no more than that.

    Raises InputError as `encode_sample` does, and when `max_length` leaves nothing useful of any row.
    """
    limit = length_limit(loaded, max_length)
    found = [encode_sample(loaded, sample, limit) for sample in samples]
    kept = [(sample.id, own) for sample, own in zip(samples, found, strict=True) if own is not None]
    left_out = tuple(sample.id for sample, own in zip(samples, found, strict=True) if own is None)
    if not kept:
        raise InputError(f"training row {left_out[0]}: longer than max_length {limit}; raise it or drop the row")
    batch = pad(loaded, [own for _, own in kept], [id for id, own in kept for _ in own], once=hash_images)
    return replace(batch, left_out=left_out, keys=batch.keys if hash_images else [() for _ in batch.keys])
