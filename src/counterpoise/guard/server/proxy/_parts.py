"""What of an answer is text, and what nobody can look at."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from .._errors import ApiError
from ..intake import IDS, INLINE, MEDIA, PROTOCOL, is_name, named

READABLE = frozenset({
    "text", "output_text", "refusal", "function", "custom", "reasoning", "reasoning.text", "reasoning.summary",
    "summary_text", "thinking", "url_citation", "message", "reasoning_text", "function_call", "custom_tool_call",
})  # fmt: skip
"""Types of parts of an answer that consist of strings."""
SHORT = IDS | {"type", "role", "object", "status"}
"""Fields that hold one word, which is not worth a look; what is more than a word is."""
REWRITTEN = frozenset({"logprobs", "token_ids", "prompt_token_ids"})
"""Fields of a choice that say its text once more, in tokens; see `_passing`."""
KNOWN = PROTOCOL | {
    "annotation", "audio", "delta", "end_index", "finish_reason", "item", "matched_stop", "message", "part",
    "start_index", "stop_reason", "url_citation", "phase", "reasoning_details", "namespace",
}  # fmt: skip
"""Names of fields that say nothing by themselves; others are read."""


class Found(NamedTuple):
    """What there is in an answer, or in one piece of it."""

    texts: tuple[tuple[str, str], ...]
    """(channel, text)."""
    others: tuple[str, ...]
    """Kinds of parts that nobody can look at."""


def choice_parts(choice: Mapping[str, Any]) -> Found:
    """All strings of one choice of an answer, or of a piece of one, but for log-probabilities, which are written anew.
    What is of no known kind cannot be looked at."""
    rest = {name: value for name, value in choice.items() if name not in REWRITTEN}
    if is_name(rest.get("finish_reason")):
        del rest["finish_reason"]
    return value_parts(rest)


def value_parts(value: Any) -> Found:
    """All strings of a part of an answer, and what in it is of no known kind."""
    texts: list[tuple[str, str]] = []
    others: list[str] = []
    try:
        _walk(value, "", texts, others)
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
        if kind is not None and (not isinstance(kind, str) or kind not in READABLE):
            others.append(named(kind) if isinstance(kind, str) else "unnamed")
            return
        for name, inner in value.items():
            if name not in KNOWN:
                texts.append((f"{where}.names", name))
            if inner and MEDIA.search(name):
                others.append(named(name))
            elif name not in SHORT or not is_name(inner):
                _walk(inner, f"{where}.{name}", texts, others)


def inline(text: str) -> tuple[str, ...]:
    """A picture or a file written into a text, which a page would show and no guard has seen."""
    return ("inline data",) if INLINE.search(text) else ()
