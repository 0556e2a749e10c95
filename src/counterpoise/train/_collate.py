"""Samples of one micro-batch -> tensors with labels. Images are decoded here, batch by batch, and nowhere before."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.models import Loaded, collate_rows

from ._features import Key
from ._labels import IGNORED, label


@dataclass(frozen=True)
class Batch:
    """What a loss sees: the model's inputs, right-padded, and labels (B, T), -100 where there is no loss."""

    inputs: dict[str, Any]
    labels: Tensor
    ids: tuple[str, ...]
    keys: list[Key] = field(default_factory=list)
    """Content hashes of each row's images, for the feature cache."""
    full_logits: bool = False
    """Take logits from the model's own forward instead of hidden states and lm_head."""
    n_masked_ends: int = 0
    """Rejection rows whose end of turn was masked."""
    left_out: tuple[str, ...] = ()
    """Rows that max_length would have robbed of an image or of the whole reply."""

    def with_full_logits(self) -> "Batch":
        return replace(self, full_logits=True)

    def to(self, device: Any) -> "Batch":
        """The same batch with its tensors on `device`."""
        inputs = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in self.inputs.items()}
        return replace(self, inputs=inputs, labels=self.labels.to(device))


def collate(loaded: Loaded, samples: Sequence[Sample], *, max_length: int = 2048, hash_images: bool = False) -> Batch:
    """Encode and label samples that end in an assistant turn.

    Raises InputError when a row has no labelled token, when a reply cannot be found among the tokens (see `label`), or
    when a row is longer than `max_length` and nothing useful would remain of any row.
    """
    found = [(sample, each) for sample in samples for each in label(loaded, sample)]
    inputs = dict(collate_rows(loaded, [each.row for _, each in found], padding_side="right"))
    width = inputs["input_ids"].shape[1]
    padded = [[*each.labels, *[IGNORED] * (width - len(each.labels))] for _, each in found]
    labels = torch.tensor(padded, device=inputs["input_ids"].device)
    limit = min(max_length, width)
    bad = {found[row][0].id for row in _damaged(loaded, inputs, labels, limit)}
    if bad:
        keep = [s for s in samples if s.id not in bad]
        names = tuple(s.id for s in samples if s.id in bad)
        if not keep:
            raise InputError(f"training row {names[0]}: longer than max_length {max_length}; raise it or drop the row")
        batch = collate(loaded, keep, max_length=max_length, hash_images=hash_images)
        return replace(batch, left_out=batch.left_out + names)
    inputs = {k: _cut(v, width, limit) for k, v in inputs.items()}
    labels = labels[:, :limit]
    empty = [s.id for (s, _), row in zip(found, labels, strict=True) if not bool((row != IGNORED).any())]
    if empty:
        raise InputError(f"training row {empty[0]}: no token carries a label; is the reply empty?")
    keys = [_key(sample) if hash_images else () for sample, _ in found]
    masked = sum(sample.rejection for sample in samples)
    return Batch(inputs, labels, tuple(sample.id for sample, _ in found), keys, n_masked_ends=masked)


def _key(sample: Sample) -> Key:
    return tuple(image.sha256 for message in sample.messages for image in message.images)


def _cut(value: Any, width: int, limit: int) -> Any:
    """Cut tensors that have one column per token."""
    per_token = (
        isinstance(value, Tensor) and value.dim() == 2 and value.shape[1] == width and not value.is_floating_point()
    )
    return value[:, :limit] if per_token else value


def _damaged(loaded: Loaded, inputs: dict[str, Any], labels: Tensor, limit: int) -> set[int]:
    """Rows that lose an image token or every label when cut at `limit`."""
    token = getattr(loaded.model.config, "image_token_id", None)
    ids = inputs["input_ids"]
    if ids.shape[1] <= limit:
        return set()
    lost_image = (ids[:, limit:] == token).any(1) if token is not None else torch.zeros(len(ids), dtype=torch.bool)
    had = (labels != -100).any(1)
    lost_reply = had & ~(labels[:, :limit] != -100).any(1)
    return {int(i) for i in torch.nonzero(lost_image | lost_reply).flatten()}
