"""Bodies of requests, as pydantic models: they validate, and they are the OpenAPI document."""

from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

_TEXT = {"type": "object", "required": ["type", "text"],
         "properties": {"type": {"const": "text"}, "text": {"type": "string"}}}  # fmt: skip
_IMAGE = {
    "type": "object",
    "required": ["type", "image_url"],
    "properties": {
        "type": {"const": "image_url"},
        "image_url": {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}},
    },
}
_PARTS = {"type": "array", "minItems": 1, "items": {"anyOf": [_TEXT, _IMAGE]}}
_MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": {"anyOf": [{"type": "string"}, _PARTS]},
        "tool_calls": {"type": "array", "items": {"type": "object"}},
    },
}
Object = dict[str, Any]
Objects = Annotated[list[Object], Field(fail_fast=True)]
"""Lists stop at their first error: a million wrong items would be a million errors, half a minute and gigabytes."""
Texts = Annotated[list[str], Field(fail_fast=True)]
Messages = Annotated[Objects, WithJsonSchema({"type": "array", "minItems": 1, "items": _MESSAGE})]
Input = Annotated[
    str | Texts | Objects,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, _PARTS]}),
]
Threshold = Annotated[float, Field(gt=0, le=1)]
MOST = 64


def _few(value: Any) -> Any:
    """As much of an object as it takes to refuse it: there is an error for every wrong entry."""
    return dict(islice(value.items(), MOST + 1)) if isinstance(value, dict) else value


_NUMBER, _STRING, _FLAG = {"type": "number"}, {"type": "string"}, {"type": "boolean"}
_TOOL = {
    "type": "object",
    "required": ["type", "function"],
    "properties": {
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": _STRING, "description": _STRING, "parameters": {"type": "object"}},
        },
    },
}
_BOTH = {
    "model": {"type": "string", "pattern": r"^[\w.:/@+-]{1,200}$"},
    "stream": _FLAG, "temperature": _NUMBER, "top_p": _NUMBER, "user": _STRING, "store": _FLAG,
    "metadata": {"type": "object"}, "tool_choice": {"enum": ["none", "auto", "required"]},
    "service_tier": {"enum": ["auto", "default"]},
}  # fmt: skip
_CHAT = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        **_BOTH, "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
        "n": {"type": "integer", "minimum": 1, "maximum": 128},
        "tools": {"type": "array", "items": _TOOL},
        "max_tokens": {"type": "integer"}, "seed": {"type": "integer"}, "stop": _STRING,
        "reasoning_effort": {"enum": ["low", "medium", "high"]}, "logit_bias": {"type": "object"},
        "response_format": {"type": "object", "required": ["type"], "properties": {"type": {"enum": ["text"]}}},
    },
}  # fmt: skip
Chat = Annotated[Object, WithJsonSchema(_CHAT)]
"""A chat completion. Its fields are checked by the proxy, which knows more of them than stand in the schema."""
_INPUT_TEXT = {"type": "object", "required": ["type", "text"],
               "properties": {"type": {"const": "input_text"}, "text": {"type": "string"}}}  # fmt: skip
_INPUT_IMAGE = {"type": "object", "required": ["type", "image_url"],
                "properties": {"type": {"const": "input_image"}, "image_url": {"type": "string"}}}  # fmt: skip
_ITEM = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant"]},
        "content": {
            "anyOf": [_STRING, {"type": "array", "minItems": 1, "items": {"anyOf": [_INPUT_TEXT, _INPUT_IMAGE]}}]
        },
    },
}
_RESPONSES = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        **_BOTH, "input": {"anyOf": [_STRING, {"type": "array", "minItems": 1, "items": _ITEM}]},
        "instructions": _STRING, "max_output_tokens": {"type": "integer"},
        "reasoning": {"type": "object", "properties": {"effort": {"enum": ["low", "medium", "high"]}}},
    },
}  # fmt: skip
Responses = Annotated[Object, WithJsonSchema(_RESPONSES)]
"""The same for a response."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=(), use_attribute_docstrings=True)


class Moderation(_Body):
    """OpenAI's moderation request."""

    input: Input
    """A text, texts (one result each), or parts of text and images (one result over all)."""
    model: str | None = None
    """A policy of this server."""


class Check(_Body):
    """A conversation to check, with everything the other protocols cannot say."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _first_unknown(cls, body: Any) -> Any:
        """Of unknown fields only one, which is then refused."""
        if not isinstance(body, dict):
            return body
        unknown = next((name for name in body if name not in FIELDS), None)
        return {name: value for name, value in body.items() if name in FIELDS or name == unknown}

    messages: Messages
    direction: Literal["input", "output", "both"] | None = None
    """Without it the role of the last message decides."""
    policies: Texts = Field(default=[], max_length=16)
    thresholds: Annotated[dict[str, Threshold], BeforeValidator(_few), Field(max_length=MOST)] = {}
    """p_unsafe from which a category blocks, instead of the policy's own."""
    dry_run: bool = False
    returns: Annotated[list[Literal["scores", "rationale"]], Field(fail_fast=True)] = Field(
        default=["scores", "rationale"], alias="return", max_length=2
    )


FIELDS = frozenset(each.alias or name for name, each in Check.model_fields.items())


class Guardrails(_Body):
    """What a request for NeMo Guardrails adds."""

    config_id: str | None = None
    config_ids: Texts | None = Field(default=None, max_length=16)
    rail_types: Texts | None = Field(default=None, max_length=16)
    context: Object | None = None
    thread_id: Annotated[str, Field(min_length=16, max_length=255)] | None = None
    options: Object | None = None
    state: Object | None = None


class Checks(_Body):
    """A chat completion's body, to be checked only."""

    messages: Messages
    model: str | None = None
    tools: Objects | None = None
    functions: Objects | None = None
    guardrails: Guardrails = Guardrails()


class LiteLLM(_Body):
    """LiteLLM's generic guardrail request."""

    input_type: Literal["request", "response"]
    texts: Texts | None = None
    images: Texts | None = None
    structured_messages: Objects | None = None
    tools: Objects | None = None
    tool_calls: Objects | None = None
    model: str | None = None
    litellm_call_id: str | None = None
    litellm_trace_id: str | None = None
    litellm_version: str | None = None
    request_data: Object = {}
    request_headers: Object | None = None
    additional_provider_specific_params: Object | None = None
