"""Conversations -> token ids and pixel tensors. User text can never speak with the template's own tokens."""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, Message

from ._images import Processed
from ._loaded import Loaded
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
        text = _render(loaded, conversation, add_generation_prompt)
    processed = loaded.images.get(tuple(i.sha256 for i in images), lambda: _process(loaded, images)) if images else None
    text = _expand(loaded, text, processed.replacements if processed else ())
    ids = _tokenize(loaded, text)
    if processed is not None:
        _check_image_tokens(loaded, ids, processed.replacements)
    types = None
    if loaded.is_vlm and getattr(loaded.processor, "return_mm_token_type_ids", False):
        types = list(loaded.processor.create_mm_token_type_ids([ids])[0])
    return EncodedRow(ids, types, processed, len(images))


def plain(loaded: Loaded, text: str) -> str:
    """`text` for a `Prompt`: its control tokens stand between markers, and are encoded as ordinary text."""
    from transformers.utils.chat_template_utils import mark_control_tokens

    return str(mark_control_tokens(text, control_tokens(loaded)))


def control_tokens(loaded: Loaded) -> re.Pattern[str]:
    """Matches every token that a template or processor writes and a message must not: special tokens, and added tokens
    that occur in the template."""
    known: re.Pattern[str] | None = getattr(loaded.tokenizer, "_counterpoise_control", None)
    if known is None:
        template = str(getattr(_owner(loaded), "chat_template", ""))
        added = loaded.tokenizer.added_tokens_decoder.values()
        tokens = {t.content for t in added if t.special or (t.content in template and not t.content.isspace())}
        for owner in (loaded.tokenizer, loaded.processor):
            tokens |= {
                token
                for name in ("image_token", "video_token", "boi_token", "eoi_token")
                if isinstance(token := getattr(owner, name, None), str) and token
            }
        longest_first = sorted(tokens, key=len, reverse=True)
        known = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        loaded.tokenizer._counterpoise_control = known
    return known


def _template_owner(loaded: Loaded) -> Any:
    """Processor or tokenizer, whichever has the chat template. Raises InputError when none has."""
    if (owner := _owner(loaded)) is not None:
        return owner
    raise InputError(f"{loaded.name}: has no chat template (a base model?); choose an instruction-tuned model")


def _owner(loaded: Loaded) -> Any | None:
    both = (loaded.processor, loaded.tokenizer)
    return next((each for each in both if each is not None and getattr(each, "chat_template", None)), None)


def _render(loaded: Loaded, conversation: Conversation, add_generation_prompt: bool) -> str:
    """The chat template's text. Control tokens of messages stand between markers that `_tokenize` understands."""
    import jinja2
    from transformers.utils.chat_template_utils import _CONTROL_TOKEN_START as START

    owner, pattern = _template_owner(loaded), control_tokens(loaded)

    def content(message: Message) -> Any:
        texts = [part for part in message.parts if isinstance(part, str)]
        joins = len(pattern.findall("".join(texts))) > sum(len(pattern.findall(text)) for text in texts)
        gap = START if joins else ""  # a lone marker: pieces of a token in two parts must not meet

        def marked(text: str) -> str:
            return plain(loaded, text) + gap

        if not loaded.is_vlm:
            return "".join(map(marked, texts))
        return [
            {"type": "image"} if isinstance(part, Image) else {"type": "text", "text": marked(part)}
            for part in message.parts
        ]

    def render(messages: Conversation) -> str:
        chat = [{"role": m.role, "content": content(m)} for m in messages]
        return str(owner.apply_chat_template(chat, tokenize=False, add_generation_prompt=add_generation_prompt))

    attempts = [conversation]
    if conversation[0].role == "system" and len(conversation) > 1:  # some templates have no system role
        head = Message(conversation[1].role, (conversation[0].text + "\n\n", *conversation[1].parts))
        attempts.append((head, *conversation[2:]))
    for attempt in attempts:
        try:
            return render(attempt)
        except jinja2.TemplateError as error:
            reason = str(error)
    raise InputError(f"{loaded.name}: its chat template rejects the conversation ({reason})")


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


def _expand(loaded: Loaded, text: str, replacements: Sequence[str]) -> str:
    """Put each image's tokens where the template put its placeholder (not where a user wrote one)."""
    from transformers.utils.chat_template_utils import _CONTROL_TOKEN_START as START

    token = getattr(loaded.processor, "image_token", None)
    if not token:
        return text
    pieces = re.split(f"(?<!{START}){re.escape(token)}", text)
    if len(pieces) - 1 != len(replacements):
        raise InputError(
            f"{loaded.name}: its chat template wrote {len(pieces) - 1} image placeholder(s) for {len(replacements)} "
            "image(s); images may be in a role that the template ignores"
        )
    return pieces[0] + "".join(r + p for r, p in zip(replacements, pieces[1:], strict=True))


def _tokenize(loaded: Loaded, text: str) -> list[int]:
    """Ids of a rendered chat; marked control tokens become plain text."""
    from transformers.utils.chat_template_utils import _CONTROL_TOKEN_START as START
    from transformers.utils.chat_template_utils import encode_marked_chat

    tokenizer = loaded.tokenizer
    # A processor adds BOS unless the template wrote it, a tokenizer never does: the convention of apply_chat_template.
    bos = tokenizer.bos_token
    owner = _owner(loaded) or loaded.processor
    add = owner is not None and owner is loaded.processor and not (bos and text.startswith(bos))
    if START not in text:
        return list(tokenizer(text, add_special_tokens=add)["input_ids"])
    head = list(tokenizer("", add_special_tokens=True)["input_ids"]) if add else []
    try:
        return head + list(encode_marked_chat(tokenizer, text))
    except ValueError:  # a tokenizer that makes the token even from plain text: break the token up
        broken = re.sub(f"{START}(.)", f"{START}\\1 ", text)
        return head + list(encode_marked_chat(tokenizer, broken))


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
