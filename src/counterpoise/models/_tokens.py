"""The tokenizer: which tokens are special, and text that may not become one of them.

Text that a message brings is *marked* before a template sees it. Each control token in it stands between two markers,
with a third one inside it, so that no template can find it and cut the text there; `tokenize` takes the markers away
and encodes such a token as the ordinary text that it is.
"""

import re

from transformers.utils.chat_template_utils import _CONTROL_TOKEN_END as END
from transformers.utils.chat_template_utils import _CONTROL_TOKEN_START as START
from transformers.utils.chat_template_utils import encode_marked_chat

from ._loaded import Loaded

INSIDE = "\U000f0002"
BREAK = START
"""A lone marker: the texts on its two sides are encoded apart, and make no token together."""


def special_ids(loaded: Loaded) -> frozenset[int]:
    """Ids of the tokens that are never part of a text: the named ones (end of sequence, padding, ...) and every added
    token that is marked special, as the turn markers of Gemma or Idefics that have no name of their own."""
    tokenizer = loaded.tokenizer
    size, known = getattr(tokenizer, "_counterpoise_special", (-1, frozenset()))
    if size != len(tokenizer):
        known = frozenset(int(id) for id, token in tokenizer.added_tokens_decoder.items() if token.special)
        tokenizer._counterpoise_special = len(tokenizer), known
    return known.union(map(int, tokenizer.all_special_ids))


def control_tokens(loaded: Loaded, written: str) -> set[str]:
    """What a template or processor writes and a message must not: special tokens, placeholders of images, and added
    tokens that occur in `written` (the template, and what it wrote on a trial)."""
    tokenizer = loaded.tokenizer
    added = tokenizer.added_tokens_decoder.values()
    found = {t.content for t in added if t.special or (t.content in written and not t.content.isspace())}
    found |= {str(token) for token in tokenizer.convert_ids_to_tokens(sorted(special_ids(loaded))) if token}
    found |= set(getattr(tokenizer, "chat_control_tokens", None) or ())
    for owner in (tokenizer, loaded.processor):
        names = ("image_token", "video_token", "boi_token", "eoi_token")
        found |= {token for name in names if isinstance(token := getattr(owner, name, None), str) and token}
    return found


def pattern_of(tokens: set[str]) -> re.Pattern[str]:
    """Matches any of `tokens`, the longest where several begin; nothing when there are none."""
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or "(?!)")


def mark(text: str, control: re.Pattern[str]) -> str:
    """`text` with markers around and inside its control tokens; markers that were in it are gone."""
    text = re.sub(f"[{START}{END}{INSIDE}]", "", text)
    return control.sub(lambda found: f"{START}{found[0][0]}{INSIDE}{found[0][1:]}{END}", text)


def unmarked(text: str) -> str:
    """The text as a person reads it."""
    return re.sub(f"[{START}{END}{INSIDE}]", "", text)


def tokenize(loaded: Loaded, text: str, *, begin: bool) -> list[int]:
    """Ids of a rendered chat, in which marked control tokens are plain text. With `begin`, what the tokenizer puts
    before every text (a beginning-of-sequence token) is put there."""
    tokenizer = loaded.tokenizer
    text = text.replace(INSIDE, "")
    if START not in text and END not in text:
        return list(tokenizer(text, add_special_tokens=begin)["input_ids"])
    head = list(tokenizer("", add_special_tokens=True)["input_ids"]) if begin else []
    try:
        return head + list(encode_marked_chat(tokenizer, text))
    except ValueError:  # a tokenizer that makes the token even from plain text: break the token up
        broken = re.sub(f"{START}([^{START}{END}])", f"{START}\\1 ", text)
        return head + list(encode_marked_chat(tokenizer, broken))


def continuation(loaded: Loaded, text: str, more: str, control: re.Pattern[str]) -> list[int]:
    """Ids of `more` where it follows `text`, such that the ids of `text` stay as they are.

    Where the tokenizer itself would not join the two, these are the ids that it gives to the whole. Nothing before the
    last control token of `text` can change how `more` is encoded, so only that end of it is encoded again.
    """
    last = max((found.start() for found in control.finditer(text)), default=0)
    before, both = (tokenize(loaded, each, begin=False) for each in (text[last:], text[last:] + more))
    if both[: len(before)] == before:
        return both[len(before) :]
    # They would be joined (a space and a word, two line breaks). A line break keeps SentencePiece from adding a space.
    line, after = (tokenize(loaded, each, begin=False) for each in ("\n", "\n" + more))
    return after[len(line) :] if after[: len(line)] == line else tokenize(loaded, more, begin=False)
