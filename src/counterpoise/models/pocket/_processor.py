"""The pocket's tokenizer and image processor, made from the language model's own tokenizer."""

import json
from pathlib import Path
from typing import Any

from ._language_model import RENAMED

IMAGE_SIDE, IMAGE_TOKENS = 224, 49

# ChatML as SmolLM2 was tuned on it, with image parts. The markers let training find the assistant's tokens.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% set parts = message['content'] %}"
    "{% if parts is string %}{% set parts = [{'type': 'text', 'text': parts}] %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{% for part in parts %}{{ part['text'] }}{% endfor %}{{ '<|im_end|>' }}"
    "{% endgeneration %}{{ '\n' }}"
    "{% else %}"
    "{% for part in parts %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{{ '<|im_end|>\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def renamed_tokenizer(lm: Path, folder: Path) -> Any:
    """The language model's tokenizer with four unused special tokens renamed for images."""
    from transformers import PreTrainedTokenizerFast

    value = json.loads((lm / "tokenizer.json").read_text(encoding="utf-8"))
    for token in value["added_tokens"]:
        token["content"] = RENAMED.get(token["content"], token["content"])
    vocab = value["model"]["vocab"]
    for old, new in RENAMED.items():
        if old in vocab:
            vocab[new] = vocab.pop(old)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    return PreTrainedTokenizerFast(
        tokenizer_file=str(file),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",  # not the end of turn: masking by pad would hide it
        unk_token="<|endoftext|>",
        model_max_length=2048,
        padding_side="left",
        additional_special_tokens=[*RENAMED.values()],
    )


def processor(lm: Path, folder: Path) -> Any:
    """Idefics3's processor with one 224 px square per image (no splitting): 49 image tokens."""
    from transformers import Idefics3ImageProcessorPil, Idefics3Processor

    images = Idefics3ImageProcessorPil(
        do_image_splitting=False,
        size={"longest_edge": 2 * IMAGE_SIDE},
        max_image_size={"longest_edge": IMAGE_SIDE},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    tokenizer = renamed_tokenizer(lm, folder)
    return Idefics3Processor(images, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=CHAT_TEMPLATE)
