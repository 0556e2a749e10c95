"""Conversations -> token ids and pixel tensors."""

from collections.abc import Sequence
from typing import Any, Literal

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image

from ._images import Processed
from ._loaded import Loaded
from ._pad import EncodedRow, collate_rows
from ._template import expand, render, tokenize
from ._values import Prompt


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


def encode_row(loaded: Loaded, conversation: Conversation | Prompt, *, add_generation_prompt: bool) -> EncodedRow:
    """One conversation -> ids with every image expanded to its image tokens, whose number is checked."""
    if isinstance(conversation, Prompt):
        images = list(conversation.images)
    else:
        images = [image for message in conversation for image in message.images]
    if images and not loaded.is_vlm:
        raise InputError(
            f"{loaded.name} is a text-only model, but the conversation has {len(images)} image(s); "
            "choose a vision-language model or a text benchmark"
        )
    if isinstance(conversation, Prompt):
        text = conversation.text
    else:
        text = render(loaded, conversation, add_generation_prompt)
    processed = loaded.images.get(tuple(i.sha256 for i in images), lambda: _process(loaded, images)) if images else None
    text = expand(loaded, text, processed.replacements if processed else ())
    ids = tokenize(loaded, text)
    if processed is not None:
        _check_image_tokens(loaded, ids, processed.replacements)
    types = None
    if loaded.is_vlm and getattr(loaded.processor, "return_mm_token_type_ids", False):
        types = list(loaded.processor.create_mm_token_type_ids([ids])[0])
    return EncodedRow(ids, types, processed, len(images))


def _process(loaded: Loaded, images: list[Image]) -> Processed:
    """Decode and preprocess the images of one conversation."""
    import torch

    processor = loaded.processor
    token = getattr(processor, "image_token", None)
    if not token:
        raise InputError(f"{loaded.name}: its processor ({type(processor).__name__}) names no image token")
    pixels = [[image.pil() for image in images]]
    asked: dict[str, Any] = {"images": pixels, "text": [token * len(images)], "return_tensors": "pt"}
    try:
        if "cross_attention_mask" in processor.model_input_names:  # Mllama: one token per image, nothing to expand
            out, replacements = processor(**asked), (token,) * len(images)
        else:
            out = processor(**asked, return_text_replacement_offsets=True)
            replacements = tuple(item["replacement"] for item in out["text_replacement_offsets"][0])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{loaded.name}: its processor ({type(processor).__name__}) does not report how it expands images ({error})"
        ) from error
    per_token = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "text_replacement_offsets"}
    tensors = {}
    for name, value in out.items():
        if name in per_token or not isinstance(value, torch.Tensor):
            continue
        if value.is_floating_point():
            value = value.to(loaded.model.dtype)
        elif name.endswith("mask"):
            value = value.bool()  # int64 masks are larger than the pixels
        tensors[name] = value
    return Processed(replacements, tensors)


def _check_image_tokens(loaded: Loaded, ids: list[int], replacements: Sequence[str]) -> None:
    token_id = getattr(loaded.model.config, "image_token_id", None)
    if token_id is None:
        return
    token = loaded.tokenizer.convert_ids_to_tokens(token_id)
    expected = sum(r.count(token) for r in replacements)
    if (found := ids.count(token_id)) != expected:
        raise InputError(f"{loaded.name}: {found} image tokens in the prompt, but the images need {expected}")
