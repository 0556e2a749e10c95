"""Requests to a proxy with something in one of their fields: what a server in front of a model passes on."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

Body = Callable[[str], dict[str, Any]]
"""A text -> a request that holds it."""


def _chat(text: str = "Please go on.", **more: Any) -> dict[str, Any]:
    return {"model": "any", "max_tokens": 16, "messages": [{"role": "user", "content": text}], **more}


def _ended(*messages: dict[str, Any]) -> dict[str, Any]:
    return _chat() | {"messages": [*messages, {"role": "user", "content": "Please go on."}]}


def _function(**more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}} | more}


def _called(arguments: str) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _name(text: str) -> str:
    return "_".join("".join(filter(str.isalnum, word)) for word in text.split())[:64]


FIELDS: Mapping[str, Body] = {
    "system message": lambda text: _ended({"role": "system", "content": text}),
    "developer message": lambda text: _ended({"role": "developer", "content": text}),
    "name of a speaker": lambda text: _ended({"role": "user", "name": _name(text), "content": "Hello."}),
    "reasoning_content": lambda text: _ended({"role": "assistant", "content": "Yes.", "reasoning_content": text}),
    "refusal": lambda text: _ended({"role": "assistant", "content": "Yes.", "refusal": text}),
    "unknown field of a message": lambda text: _ended({"role": "user", "content": "Hello.", "context": text}),
    "unknown part": lambda text: _ended({"role": "user", "content": [{"type": "memo", "memo": text}]}),
    "documents": lambda text: _chat(documents=[{"text": text}]),
    "images": lambda text: _chat(images=[text]),
    "prompt_embeds": lambda text: _chat(prompt_embeds=base64.b64encode(text.encode()).decode()),
    "chat_template": lambda text: _chat(chat_template=text),
    "chat_template_kwargs": lambda text: _chat(chat_template_kwargs={"note": text}),
    "mm_processor_kwargs": lambda text: _chat(mm_processor_kwargs={"note": text}),
    "response_format": lambda text: _chat(
        response_format={
            "type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "description": text}},
        }
    ),
    "prediction": lambda text: _chat(prediction={"type": "content", "content": text}),
    "metadata": lambda text: _chat(metadata={"note": text}),
    "stop": lambda text: _chat(stop=[text]),
    "guided_choice": lambda text: _chat(guided_choice=[text, "no"]),
    "user": lambda text: _chat(user=text),
    "reasoning_effort": lambda text: _chat(reasoning_effort=text),
    "format": lambda text: _chat(format=text),
    "logit_bias": lambda text: _chat(logit_bias={text: 1}),
    "suffix": lambda text: _chat(suffix=text),
    "any other": lambda text: _chat(anything=text),
}  # fmt: skip
TOOLS: Mapping[str, Body] = {
    "description": lambda text: _chat(tools=[_function(description=text)]),
    "name": lambda text: _chat(tools=[_function(name=_name(text))]),
    "property name": lambda text: _chat(
        tools=[_function(parameters={"type": "object", "properties": {_name(text): {"type": "string"}}})]
    ),
    "default value": lambda text: _chat(
        tools=[_function(parameters={"type": "object", "properties": {"a": {"type": "string", "default": text}}})]
    ),
    "arguments": lambda text: _ended(_called(f'{{"a": "{text}"}}')),
    "escaped arguments": lambda text: _ended(_called('{"a": "' + "".join(f"\\u{ord(c):04x}" for c in text) + '"}')),
    "result": lambda text: _ended(_called("{}"), {"role": "tool", "tool_call_id": "call_1", "content": text}),
    "id of a result": lambda text: _ended(_called("{}"), {"role": "tool", "tool_call_id": text, "content": "1"}),
}
STREAMS: Mapping[str, Body] = {
    "streamed": lambda text: _chat(text, stream=True),
    "streamed, two choices": lambda text: _chat(text, stream=True, n=2),
    "streamed, in an earlier turn": lambda text: (
        _ended({"role": "user", "content": text}, {"role": "assistant", "content": "Sure."}) | {"stream": True}
    ),
}
