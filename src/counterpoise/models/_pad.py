"""Encoded conversations -> one padded batch of tensors."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from ._images import Processed
from ._loaded import Loaded


class EncodedRow(NamedTuple):
    """One conversation, not padded."""

    ids: list[int]
    types: list[int] | None
    """Modality of each token, for processors whose model asks for it (Gemma 3, Qwen-VL)."""
    images: Processed | None
    n_images: int


def collate_rows(
    loaded: Loaded, rows: Sequence[EncodedRow], *, padding_side: Literal["left", "right"]
) -> dict[str, Any]:
    """Pad rows to one batch. Pixel tensors are joined along their first dimension and zero-padded in the others."""
    import torch

    width = max(len(row.ids) for row in rows)
    pad = loaded.tokenizer.pad_token_id
    pad = loaded.tokenizer.eos_token_id if pad is None else pad
    shape = (len(rows), width)
    ids = torch.full(shape, 0 if pad is None else int(pad), dtype=torch.long)
    mask, types = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(width - len(row.ids), width) if padding_side == "left" else slice(0, len(row.ids))
        ids[number, place] = torch.tensor(row.ids)
        mask[number, place] = 1
        if row.types is not None:
            types[number, place] = torch.tensor(row.types)
    batch: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    if any(row.types is not None for row in rows):
        own = "token_type_ids" in loaded.processor.model_input_names
        batch["token_type_ids" if own else "mm_token_type_ids"] = types
    found = [row.images.tensors for row in rows if row.images is not None]
    for name in dict.fromkeys(name for tensors in found for name in tensors):
        batch[name] = _cat([tensors[name] for tensors in found if name in tensors])
    if "cross_attention_mask" in batch:  # Mllama: the processor saw the images only, without their text
        batch["cross_attention_mask"] = _cross_attention(loaded, ids, batch["aspect_ratio_mask"])
    return {name: value.to(loaded.device) for name, value in batch.items()}


def _cross_attention(loaded: Loaded, ids: Any, tiles: Any) -> Any:
    """Mllama's mask (B, T, images, tiles): which tokens see which tiles; every token from an image's place on."""
    import torch
    from transformers.models.mllama.processing_mllama import (
        convert_sparse_cross_attention_mask_to_dense,
        get_cross_attention_token_mask,
    )

    spans = [get_cross_attention_token_mask(row, loaded.processor.image_token_id) for row in ids.tolist()]
    counts = tiles.sum(-1).long().tolist()
    dense = convert_sparse_cross_attention_mask_to_dense(spans, counts, tiles.shape[-1], ids.shape[1])
    return torch.from_numpy(dense)


def _cat(tensors: list[Any]) -> Any:
    import torch

    widest = [max(t.shape[d] for t in tensors) for d in range(1, tensors[0].dim())]
    padded = []
    for tensor in tensors:
        if list(tensor.shape[1:]) != widest:
            grown = tensor.new_zeros(tensor.shape[0], *widest)
            grown[tuple(slice(0, n) for n in tensor.shape)] = tensor
            tensor = grown
        padded.append(tensor)
    return torch.cat(padded)
