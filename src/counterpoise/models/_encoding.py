"""A conversation -> the token ids of one row -> one padded batch of tensors."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image

from ._images import Processed, processed_images
from ._loaded import Loaded
from ._template import expand, render, tokenize, traits
from ._tokens import continuation
from ._values import Prompt


class EncodedRow(NamedTuple):
    """One conversation, not padded."""

    ids: list[int]
    types: list[int] | None
    """Modality of each token, for processors whose model asks for it (Gemma 3, Qwen-VL)."""
    images: Processed | None
    n_images: int


def encode(
    loaded: Loaded,
    conversations: Sequence[Conversation],
    *,
    add_generation_prompt: bool,
    padding_side: Literal["left", "right"],
) -> dict[str, Any]:
    """Inputs of the model for a batch: `input_ids` and `attention_mask` (B, T), and pixel tensors where images are.

    Control tokens inside messages are encoded as plain text. Raises InputError when a text-only model is given images,
    an image cannot be decoded, or the chat template rejects the conversation.
    """
    rows = [encode_row(loaded, c, add_generation_prompt=add_generation_prompt) for c in conversations]
    return collate_rows(loaded, rows, padding_side=padding_side)


def encode_row(
    loaded: Loaded, conversation: Conversation | Prompt, *, add_generation_prompt: bool, end_thought: bool = False
) -> EncodedRow:
    """One conversation -> ids with every image expanded to its image tokens, whose number is checked. With
    `end_thought`, a generation prompt that opens a thought ends it too, so that a given reply can follow."""
    if isinstance(conversation, Prompt):
        return encode_text(loaded, conversation.text, conversation.images)
    images = [image for message in conversation for image in message.images]
    _check_kind(loaded, images)
    text = render(loaded, conversation, add_generation_prompt)
    known = traits(loaded)
    ended = known.unthought if end_thought and add_generation_prompt else ""
    more = continuation(loaded, text, ended, known.control) if ended else ()
    return encode_text(loaded, text, images, more)


def encode_text(loaded: Loaded, text: str, images: Sequence[Image], more: Sequence[int] = ()) -> EncodedRow:
    """A rendered chat and its images -> one row, with the ids `more` behind it."""
    _check_kind(loaded, images)
    processed = processed_images(loaded, list(images)) if images else None
    ids = [*tokenize(loaded, expand(loaded, text, processed.replacements if processed else ())), *more]
    if processed is not None:
        _check_image_tokens(loaded, ids, processed.replacements)
    types = None
    if loaded.is_vlm and getattr(loaded.processor, "return_mm_token_type_ids", False):
        types = list(loaded.processor.create_mm_token_type_ids([ids])[0])
    return EncodedRow(ids, types, processed, len(images))


def _check_kind(loaded: Loaded, images: Sequence[Image]) -> None:
    if images and not loaded.is_vlm:
        raise InputError(
            f"{loaded.name} is a text-only model, but the conversation has {len(images)} image(s); "
            "choose a vision-language model or a text benchmark"
        )


def _check_image_tokens(loaded: Loaded, ids: list[int], replacements: Sequence[str]) -> None:
    token_id = getattr(loaded.model.config, "image_token_id", None)
    if token_id is None:
        return
    token = loaded.tokenizer.convert_ids_to_tokens(token_id)
    expected = sum(r.count(token) for r in replacements)
    if (found := ids.count(token_id)) != expected:
        raise InputError(f"{loaded.name}: {found} image tokens in the prompt, but the images need {expected}")


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
