"""What an OpenAI-compatible model answers: the text in it, and an answer without it."""

from collections.abc import Mapping
from typing import Any

KNOWN = frozenset(("role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call", "name",
                   "annotations", "audio", "images"))  # fmt: skip


def said(message: Mapping[str, Any]) -> tuple[str, list[str]]:
    """(all text of a message or delta, kinds of parts in it that nobody here can look at)."""
    texts: list[str] = []
    others: list[str] = []
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and isinstance(text := part.get("text", part.get("refusal")), str):
            texts.append(text)
        elif part is not None:
            others.append(str(part.get("type", "part"))[:40] if isinstance(part, Mapping) else "part")
    for name in ("reasoning_content", "reasoning", "refusal", "name"):
        if isinstance(value := message.get(name), str):
            texts.append(value)
    calls = list(message.get("tool_calls") or [])
    if message.get("function_call"):
        calls.append({"function": message["function_call"]})
    for call in calls:
        own = call.get("function") or call.get("custom") or {} if isinstance(call, Mapping) else {}
        texts += [str(own[name]) for name in ("name", "arguments", "input") if own.get(name)]
    others += [name for name in ("audio", "images") if message.get(name)]
    others += [name[:40] for name, value in message.items() if name not in KNOWN and value]
    return "".join(texts), others


def without(choice: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A choice with nothing in it, as a content filter leaves it. `key`: message or delta."""
    return {
        "index": choice.get("index", 0),
        key: {"role": "assistant", "content": "" if key == "message" else None},
        "finish_reason": "content_filter",
        "logprobs": None,
    }
