"""The chat template and the tokenizer. User text can never speak with the template's own tokens."""

import re
from collections.abc import Sequence
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, Message

from ._loaded import Loaded


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


def render(loaded: Loaded, conversation: Conversation, add_generation_prompt: bool) -> str:
    """The chat template's text. Control tokens of messages stand between markers that `tokenize` understands."""
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

    def written(messages: Conversation) -> str:
        chat = [{"role": m.role, "content": content(m)} for m in messages]
        return str(owner.apply_chat_template(chat, tokenize=False, add_generation_prompt=add_generation_prompt))

    attempts = [conversation]
    if conversation[0].role == "system" and len(conversation) > 1:  # some templates have no system role
        head = Message(conversation[1].role, (conversation[0].text + "\n\n", *conversation[1].parts))
        attempts.append((head, *conversation[2:]))
    for attempt in attempts:
        try:
            return written(attempt)
        except jinja2.TemplateError as error:
            reason = str(error)
    raise InputError(f"{loaded.name}: its chat template rejects the conversation ({reason})")


def expand(loaded: Loaded, text: str, replacements: Sequence[str]) -> str:
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


def tokenize(loaded: Loaded, text: str) -> list[int]:
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
