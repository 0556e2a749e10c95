"""What of a chat completion is text, and what nobody can look at: requests beyond their messages, and answers."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from counterpoise.chat import Image

from ._errors import ApiError
from ._pieces import MEDIA, SHORT, is_name, strings

SETTINGS = frozenset({
    "messages", "model", "stream", "stream_options", "n", "user", "safety_identifier", "prompt_cache_key", "seed",
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs", "logit_bias",
    "frequency_penalty", "presence_penalty", "service_tier", "reasoning_effort", "verbosity", "store", "modalities",
    "parallel_tool_calls", "prompt_cache_retention",
})  # fmt: skip
"""Fields of a request that hold settings. The strings of all others are read like messages."""

READABLE = frozenset({
    "text", "output_text", "refusal", "function", "custom", "reasoning", "reasoning.text", "reasoning.summary",
    "summary_text", "thinking", "url_citation",
})  # fmt: skip
"""Types of parts of an answer that consist of strings."""
INLINE = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+-]+=[^;,\s]*)*;base64,\s*[A-Za-z0-9+/]{32}", re.IGNORECASE)


class Found(NamedTuple):
    """What there is in an answer, or in one piece of it."""

    texts: tuple[tuple[str, str], ...]
    """(channel, text)."""
    others: tuple[str, ...]
    """Kinds of parts that nobody can look at."""


def request_text(body: Mapping[str, Any]) -> str:
    """The strings of a request outside its messages: tools, formats, predictions, fields that are not known here."""
    rest = {name: value for name, value in body.items() if name not in SETTINGS}
    return "\n".join(dict.fromkeys(strings(rest, keys=False)))


def choice_parts(choice: Mapping[str, Any]) -> Found:
    """All strings of one choice of an answer, or of a piece of one, but for log-probabilities, which are written anew.
    What is of no known kind cannot be looked at."""
    rest = {name: value for name, value in choice.items() if name != "logprobs"}
    if is_name(rest.get("finish_reason")):
        del rest["finish_reason"]
    texts: list[tuple[str, str]] = []
    others: list[str] = []
    try:
        _walk(rest, "", texts, others)
    except RecursionError:
        raise ApiError(502, "upstream_invalid", "the upstream's answer is nested too deeply") from None
    return Found(tuple(texts), tuple(dict.fromkeys(others)))


def _walk(value: Any, where: str, texts: list[tuple[str, str]], others: list[str]) -> None:
    if isinstance(value, str):
        if value:
            texts.append((where, value))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            own = inner.get("index", number) if isinstance(inner, Mapping) else number
            _walk(inner, f"{where}.{own}", texts, others)
    elif isinstance(value, Mapping):
        kind = value.get("type")
        if kind is not None and kind not in READABLE:
            others.append(kind if is_name(kind) and kind else "unnamed")
            return
        for name, inner in value.items():
            if inner and MEDIA.search(name):
                others.append(name[:40])
            elif name not in SHORT or not is_name(inner):
                _walk(inner, f"{where}.{name}", texts, others)


def inline(text: str) -> tuple[str, ...]:
    """A picture or a file written into a text, which a page would show and no guard has seen."""
    return ("inline data",) if INLINE.search(text) else ()


def with_images(messages: list[Any], images: Mapping[str, Image]) -> list[Any]:
    """The messages with every image as the guards saw it, so that the model cannot be shown another one.

    `images` names places such as messages.1.content.0.
    """
    made = list(messages)
    for where, image in images.items():
        number, part = int(where.split(".")[1]), int(where.split(".")[3])
        turn = dict(made[number])
        content = list(turn["content"])
        own = dict(content[part])
        url = own["image_url"]
        own["image_url"] = {**url, "url": image.data_uri()} if isinstance(url, Mapping) else image.data_uri()
        content[part] = own
        made[number] = {**turn, "content": content}
    return made
