"""Which tokens of a rendered conversation carry loss: the assistant's replies, found by comparing token ids.

A conversation is rendered up to a reply and with it; what the second has more is the reply and its end of turn. Nothing
here knows a template or looks for a sentence in the text.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, Message, Sample
from counterpoise.models import Loaded, encode


class Span(NamedTuple):
    """One reply, counted in tokens from the *end* of the row without padding: start > content >= end >= 0.

    `start` is the first token of the reply, `content` lies behind its last token, `end` behind its end of turn.
    """

    start: int
    content: int
    end: int
    tokens: tuple[int, ...]
    """The tokens from `start` to the end of the row, to check that a row with images ends alike."""


def without_images(conversation: Conversation) -> Conversation:
    """The same turns without images, which change the tokens before a reply and never those of the reply."""
    result = []
    for message in conversation:
        parts = tuple(part for part in message.parts if not isinstance(part, Image))
        result.append(Message(message.role, parts if "".join(map(str, parts)).strip() else ("x",)))
    return tuple(result)


def rows(encoded: dict[str, Any]) -> list[list[int]]:
    """Token ids of each row without padding, which is told by the attention mask and never by an id."""
    pairs = zip(encoded["input_ids"].tolist(), encoded["attention_mask"].tolist(), strict=True)
    return [[token for token, keep in zip(ids, mask, strict=True) if keep] for ids, mask in pairs]


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Number of leading tokens that agree."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def spans(loaded: Loaded, samples: Sequence[Sample], *, images: bool = False) -> list[list[Span]]:
    """The replies of each sample, in order. Rendered without images by default, since counting from the end makes them
    irrelevant (and their processing is the dear part); only images *behind* a reply need `images=True`.

    Raises InputError for a sample without a reply, or whose template renders history differently before and after a
    reply is added (then no span of ids belongs to the reply).
    """
    plain = [sample.messages if images else without_images(sample.messages) for sample in samples]
    todo: list[Conversation] = []
    turns: list[list[int]] = []
    for sample, messages in zip(samples, plain, strict=True):
        places = [i for i, message in enumerate(messages) if message.role == "assistant"]
        if not places or places[-1] != len(messages) - 1:
            raise InputError(f"training row {sample.id}: the last message must be the assistant's reply")
        turns.append(places)
        todo += [messages[:i] for i in places]
    prompts = iter(_render(loaded, todo, prompt=True))
    partial = iter(_render(loaded, [plain[n][: i + 1] for n, places in enumerate(turns) for i in places], prompt=False))
    result = []
    for sample, messages, places in zip(samples, plain, turns, strict=True):
        pairs = [(next(prompts), next(partial)) for _ in places]
        whole = pairs[-1][1]
        found = []
        for place, (before, after) in zip(places, pairs, strict=True):
            start = common_prefix(before, after)
            if start < len(before) - 2 or common_prefix(after, whole) < len(after) - 2:
                raise InputError(
                    f"training row {sample.id}: the chat template changes earlier turns when a reply is added; "
                    "train on single-turn rows with this model"
                )
            content, end = _ends(loaded.tokenizer, whole[start : len(after)], messages[place].text)
            total = len(whole) - start
            found.append(Span(total, total - content, total - end, tuple(whole[start:])))
        result.append(found)
    return result


def _render(loaded: Loaded, conversations: list[Conversation], *, prompt: bool) -> list[list[int]]:
    return rows(encode(loaded, conversations, add_generation_prompt=prompt, padding_side="right"))


def _ends(tokenizer: Any, ids: list[int], reply: str) -> tuple[int, int]:
    """Where the content and the end of turn stop in the tokens of one turn.

    The content is the shortest prefix that decodes to the reply. The end of turn reaches to the last special token
    behind it; white space behind that (ChatML writes a newline) belongs to no one and is never sampled.
    """
    special = set(tokenizer.all_special_ids)
    content = len(ids)
    wanted = _squeeze(reply)
    while content > 1 and _squeeze(_decode(tokenizer, ids[: content - 1])).startswith(wanted):
        content -= 1
    if not _squeeze(_decode(tokenizer, ids[:content])).startswith(wanted):  # a tokenizer that does not round-trip
        while content > 1 and (ids[content - 1] in special or not _decode(tokenizer, [ids[content - 1]]).strip()):
            content -= 1
    closing = [i + 1 for i in range(content, len(ids)) if ids[i] in special]
    if closing:
        return content, closing[-1]
    visible = [i + 1 for i in range(content, len(ids)) if _decode(tokenizer, [ids[i]]).strip()]
    return content, visible[-1] if visible else content


def _decode(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _squeeze(text: str) -> str:
    return "".join(text.split())
