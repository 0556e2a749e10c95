"""A request of either protocol -> what is to be checked of it, and the request as it goes on.

It goes on in the fields that are listed and checked, see `_fields`; texts as they came, images as the guards saw them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._config import ServerConfig
from .._errors import ApiError
from ..intake import Intake, address, named, read_messages
from ._fields import (
    CACHE,
    CHAT,
    LEVELS,
    RESPONSES,
    Check,
    Found,
    flag,
    identifier,
    listed,
    nullable,
    number,
    one_of,
    only,
    passed,
    unsupported,
    words,
    wrong,
)

Body = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request."""

    intake: Intake
    """What guards look at."""
    body: Body
    """What the upstream gets."""

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))


def _as_is(value: Any, found: Found, name: str) -> Any:
    """Texts of messages: they are read where they stand."""
    return value


def _url(value: Any, found: Found, name: str) -> Any:
    return only(url=_as_is, detail=DETAIL)(value, found, name) if isinstance(value, Mapping) else value


TEXT = only(
    type=_as_is, text=_as_is, refusal=_as_is, cache_control=CACHE, annotations=_as_is, logprobs=listed(_as_is, 0)
)
DETAIL = one_of("auto", *LEVELS, "original")
IMAGE = only(type=_as_is, image_url=_url, detail=DETAIL, cache_control=CACHE)
PARTS: dict[str, Check] = dict.fromkeys(("text", "input_text", "output_text", "refusal"), TEXT) | dict.fromkeys(
    ("image_url", "input_image"), IMAGE
)


def _content(value: Any, found: Found, name: str) -> Any:
    """A text, or parts; those of kinds that nobody looks at stay, and block."""
    if not isinstance(value, list):
        return value
    return [
        PARTS[part["type"]](part, found, f"{name}.{n}")
        if isinstance(part, Mapping) and isinstance(part.get("type"), str) and part["type"] in PARTS
        else part
        for n, part in enumerate(value)
    ]


_FUNCTION = only(name=_as_is, arguments=_as_is)
MESSAGE: dict[str, Check] = {
    "role": _as_is, "content": _content, "name": _as_is, "refusal": _as_is, "reasoning": _as_is,
    "reasoning_content": _as_is, "annotations": _as_is, "function_call": _FUNCTION, "tool_call_id": identifier,
    "cache_control": CACHE, "prefix": flag, "partial": flag,
    "tool_calls": listed(only(id=identifier, type=one_of("function", "custom"), index=number, function=_FUNCTION,
                              custom=only(name=_as_is, input=_as_is))),
}  # fmt: skip


async def chat(body: Body, config: ServerConfig) -> Asked:
    """A chat completion. Raises ApiError."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise wrong("messages", "a list of messages")
    found = Found()
    made = passed(body, _with_own(CHAT, config), found)
    _known(made, config)
    turns = [nullable(each, passed(each, MESSAGE, found, f"messages.{n}"), ("content",))
             for n, each in enumerate(messages)]  # fmt: skip
    intake = await _read(turns, found, config, "")
    for where, seen in intake.images.items():
        part = _part(turns, where, "content")
        url = part["image_url"]
        part["image_url"] = {**url, "url": seen.url} if isinstance(url, Mapping) else seen.url
    return Asked(intake, {**made, "messages": turns})


_ITEM: dict[str, Check] = {"type": _as_is, "id": identifier, "status": one_of("completed", "in_progress", "incomplete")}
ITEMS: dict[str, dict[str, Check]] = {
    "message": {**_ITEM, "role": _as_is, "content": _content},
    "function_call": {**_ITEM, "call_id": identifier, "name": _as_is, "arguments": _as_is},
    "function_call_output": {**_ITEM, "call_id": identifier, "output": _content},
    "custom_tool_call": {**_ITEM, "call_id": identifier, "name": _as_is, "input": _as_is},
    "custom_tool_call_output": {**_ITEM, "call_id": identifier, "output": _content},
    "reasoning": {**_ITEM, "summary": _as_is, "content": _as_is},
}
"""Items of a conversation that stand for themselves. Others point at what the upstream holds, or hold what only it can
read; no guard has seen that."""


async def responses(body: Body, config: ServerConfig) -> Asked:
    """A request for a response. Raises ApiError."""
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise wrong("input", "a text or a list of items")
    found = Found()
    made = passed(body, _with_own(RESPONSES, config), found)
    _known(made, config)
    rules = made.get("instructions", "")
    if not isinstance(rules, str):
        raise wrong("instructions", "a text")
    items = [_item(each, found, f"input.{n}") for n, each in enumerate(items)]
    intake = await _read([_as_message(each) for each in items], found, config, rules)
    for where, seen in intake.images.items():
        item = items[int(where.split(".")[1])]
        _part(items, where, "output" if "output" in item else "content")["image_url"] = seen.url
    return Asked(intake, {**made, "input": given if isinstance(given, str) else items})


def _item(item: Body, found: Found, name: str) -> Body:
    kind = item.get("type", "message")
    if not isinstance(kind, str) or kind not in ITEMS:
        raise unsupported(f"{name}.type")
    return passed(item, ITEMS[kind], found, name)


def _as_message(item: Body) -> Body:
    """An item of a response as a message of a chat."""
    kind = item.get("type", "message")
    if kind == "message":
        return item
    if kind.endswith("_output"):
        return {"role": "tool", "content": item.get("output")}
    if kind == "reasoning":
        return {"role": "assistant", "reasoning": [item.get("summary"), item.get("content")]}
    words = {name: item[name] for name in ("name", "arguments", "input") if name in item}
    return {"role": "assistant", "function_call": words}


def _with_own(fields: dict[str, Check], config: ServerConfig) -> dict[str, Check]:
    """The parameters that this server's owner has named, too."""
    own = config.upstream.parameters if config.upstream else ()
    return dict.fromkeys(own, words) | fields


def _known(body: Body, config: ServerConfig) -> None:
    known = config.upstream.models if config.upstream else ()
    if known and body.get("model") not in known:
        raise ApiError(404, "model_not_found", "this model is not offered here; GET /v1/models lists those that are",
                       "model")  # fmt: skip


async def _read(messages: list[Body], found: Found, config: ServerConfig, rules: str) -> Intake:
    """All messages, after one with what stands beside them: tools and the like, which the model reads too."""
    beside = "\n".join([rules, *found.texts] if rules.strip() else found.texts)
    extra = [{"role": "system", "content": beside}] if beside.strip() and messages else []
    intake = await read_messages([*extra, *messages], config.limits, config.fetch, skip=len(extra))
    return replace(intake, uninspected=tuple(dict.fromkeys((*intake.uninspected, *map(named, found.others)))))


def _part(turns: list[Body], where: str, field: str) -> Body:
    """The part that stands there, such as messages.1.content.0, in a list that is this request's own."""
    _, number, _, place = where.split(".")
    part: Body = turns[int(number)][field][int(place)]
    assert address(part)
    return part
