"""A model under another prompt format than its own: the Alpaca one, which users often fine-tune with.

Everything else stays the model's: its tokens, its image placeholders, and what ends a reply, all asked of its own
template. A system prompt stands in front of the instruction.
"""

import copy
import dataclasses
import json
from typing import Any

from counterpoise.base import InputError, sha256_bytes

from ._loaded import Loaded
from ._template import _attempt, _owner, traits

HEADER = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
_TEXT = "Ombrelline"


def alpaca(loaded: Loaded) -> Loaded:
    """The same model with the Alpaca template, under a fingerprint of its own; `loaded` stays as it is.

    Raises InputError for a model without a chat template, whose image placeholders are not known.
    """
    owner = _owner(loaded)
    if owner is None:
        raise InputError(f"{loaded.name}: has no chat template (a base model?); choose an instruction-tuned model")
    template = _template(loaded, owner)
    processor, tokenizer = loaded.processor, loaded.tokenizer
    if processor is not None:
        processor = copy.copy(processor)
        processor.chat_template = template
    else:
        tokenizer = copy.copy(tokenizer)
        tokenizer.chat_template = template
    own = sha256_bytes(f"{loaded.fingerprint} {template}".encode())[:12]
    return dataclasses.replace(loaded, processor=processor, tokenizer=tokenizer, fingerprint=own)


def _template(loaded: Loaded, owner: Any) -> str:
    """The Jinja text. Strings that come from the model are written as JSON, which Jinja reads as literals."""
    begin = _begins(loaded, owner)
    ends = "".join(loaded.tokenizer.convert_ids_to_tokens(list(traits(loaded).ends)))
    image = _image_string(loaded, owner) if loaded.is_vlm else ""
    return (
        f"{{{{- {json.dumps(begin)} }}}}"
        "{%- macro text(content) -%}"
        "{%- if content is string -%}{{- content -}}"
        "{%- else -%}{%- for part in content -%}"
        f"{{%- if part['type'] == 'image' -%}}{{{{- {json.dumps(image)} -}}}}"
        "{%- else -%}{{- part['text'] -}}{%- endif -%}"
        "{%- endfor -%}{%- endif -%}"
        "{%- endmacro -%}"
        "{%- for message in messages -%}"
        "{%- if message['role'] == 'system' -%}{{- text(message['content']) + '\\n\\n' -}}"
        "{%- elif message['role'] == 'user' -%}"
        f"{{{{- {json.dumps(HEADER)} + '\\n\\n### Instruction:\\n' + text(message['content']) -}}}}"
        "{{- '\\n\\n' -}}"
        "{%- else -%}"
        f"{{{{- '### Response:\\n' + text(message['content']) + {json.dumps(ends)} + '\\n\\n' -}}}}"
        "{%- endif -%}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '### Response:\\n' -}}{%- endif -%}"
    )


def _begins(loaded: Loaded, owner: Any) -> str:
    """The beginning-of-sequence token, where the model's own template writes it and it begins no turn."""
    bos = loaded.tokenizer.bos_token
    text = _attempt(owner, [{"role": "user", "content": _content(loaded, [])}], True) or ""
    return bos if bos and text.startswith(bos) and text.count(bos) == 1 else ""


def _image_string(loaded: Loaded, owner: Any) -> str:
    """What the model's own template writes for an image in front of a text."""
    if "user" in traits(loaded).strings:
        return f"{loaded.processor.image_token}\n"
    with_image, without = (
        _attempt(owner, [{"role": "user", "content": _content(loaded, images)}], True)
        for images in ([{"type": "image"}], [])
    )
    if not with_image or not without:
        raise InputError(f"{loaded.name}: its chat template takes no image in front of a text")
    # some write a space after "User:" only where no image follows, so the two share less than all before the text
    seen, plain = with_image.partition(_TEXT)[0], without.partition(_TEXT)[0]
    shared = 0
    while shared < min(len(seen), len(plain)) and seen[shared] == plain[shared]:
        shared += 1
    if not (found := seen[shared:]):
        raise InputError(f"{loaded.name}: its chat template writes nothing for an image")
    return found


def _content(loaded: Loaded, images: list[dict[str, str]]) -> Any:
    if not loaded.is_vlm or "user" in traits(loaded).strings:
        return _TEXT
    return [*images, {"type": "text", "text": _TEXT}]
