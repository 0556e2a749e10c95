"""What of an answer of an upstream is text that guards look at, what nobody can look at, and what passes without a look
because nothing can be said in it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .._errors import ApiError
from ..intake import IDS, INLINE, MEDIA, PROTOCOL, is_name, named

ENVELOPE = ("id", "object", "created", "model", "service_tier", "system_fingerprint", "usage")
"""Fields of an answer beside its choices that pass, as far as they hold names and numbers. Others are dropped."""
NAME = re.compile(r"[\w.:/@+-]{0,200}")
LEAST = -9999.0
"""Stands for a log-probability that is no finite number."""


def envelope(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an answer, or of a piece of one, that pass beside its choices."""
    return _plain({name: answer[name] for name in ENVELOPE if name in answer})


FRAME = (
    "id", "object", "created_at", "completed_at", "status", "model", "service_tier", "usage", "incomplete_details",
    "max_output_tokens", "temperature", "top_p", "parallel_tool_calls", "truncation", "background",
)  # fmt: skip
"""The same for a response."""
ECHO = ("instructions", "metadata", "reasoning", "text", "tool_choice", "tools", "user")
"""Fields of a response that repeat the request; they are taken from there."""


def frame(answer: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a response that pass beside its output."""
    made: dict[str, Any] = {
        "object": "response",
        "error": None,
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }
    made |= _plain({name: answer[name] for name in FRAME if name in answer})
    if isinstance(error := answer.get("error"), Mapping):
        made["error"] = {"message": "the upstream failed", **_plain({"code": error.get("code")})}
    return made | {name: asked[name] for name in ECHO if name in asked}


def card(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model of the upstream's list, as far as it consists of names and numbers."""
    return _plain(model)


def _plain(value: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """Names, numbers, and objects of them."""
    made: dict[str, Any] = {}
    for name, inner in value.items():
        if not NAME.fullmatch(name):
            continue
        if isinstance(inner, Mapping) and depth < 3:
            made[name] = _plain(inner, depth + 1)
        elif inner is None or _number(inner) or (isinstance(inner, str) and NAME.fullmatch(inner)):
            made[name] = inner
    return made


def _number(value: Any) -> bool:
    return isinstance(value, bool | int | float) and abs(value) < 1e18


def plain_logprobs(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """A choice, or a piece of one, whose log-probabilities say nothing that its text does not.

    Tokens are written anew from the text that is checked; those that do not spell it are dropped, and alternatives
    (`top_logprobs`), which are other words, are dropped always, and so are numbers of tokens.
    """
    choice = {name: value for name, value in choice.items() if name not in ("token_ids", "prompt_token_ids")}
    given = choice.get("logprobs")
    if given is None:
        return choice
    said = next((own for name in ("message", "delta") if isinstance(own := choice.get(name), Mapping)), {})
    fields = given if isinstance(given, Mapping) else {}
    kept = {name: _spelled(fields.get(name), said.get(name)) for name in ("content", "refusal")}
    return {**choice, "logprobs": kept if any(kept.values()) else None}


def _spelled(rows: Any, text: Any) -> list[dict[str, Any]] | None:
    """The tokens of a text with their log-probabilities, or None where the rows do not spell it."""
    if not isinstance(rows, list) or not isinstance(text, str):
        return None
    whole, at, made = text.encode("utf-8", "surrogatepass"), 0, []
    for row in rows:
        if at == len(whole):
            break  # a mark of the end, which is not in the text
        piece = _bytes(row)
        if piece is None or not whole.startswith(piece, at):
            return None
        at += len(piece)
        p = row.get("logprob")
        sure = float(p) if isinstance(p, int | float) and math.isfinite(p) else LEAST
        token = piece.decode("utf-8", "replace")
        made.append({"token": token, "logprob": sure, "bytes": list(piece), "top_logprobs": []})
    return made if at == len(whole) else None


def _bytes(row: Any) -> bytes | None:
    """The bytes of a token: as given, since a token may be a part of a character, or those of its text."""
    if not isinstance(row, Mapping):
        return None
    given, token = row.get("bytes"), row.get("token")
    if isinstance(given, Sequence) and all(type(each) is int and 0 <= each < 256 for each in given):
        return bytes(given)
    return token.encode("utf-8", "surrogatepass") if isinstance(token, str) else None


READABLE = frozenset({
    "text", "output_text", "refusal", "function", "custom", "reasoning", "reasoning.text", "reasoning.summary",
    "summary_text", "thinking", "url_citation", "message", "reasoning_text", "function_call", "custom_tool_call",
})  # fmt: skip
"""Types of parts of an answer that consist of strings."""
SHORT = IDS | {"type", "role", "object", "status"}
"""Fields that hold one word, which is not worth a look; what is more than a word is."""
REWRITTEN = frozenset({"logprobs", "token_ids", "prompt_token_ids"})
"""Fields of a choice that say its text once more, in tokens; see `plain_logprobs`."""
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
