"""Bodies of requests, as pydantic models: they validate, and they are the OpenAPI document."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

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
Messages = Annotated[list[Object], WithJsonSchema({"type": "array", "minItems": 1, "items": _MESSAGE})]
Input = Annotated[
    str | list[str] | list[Object],
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, _PARTS]}),
]
Threshold = Annotated[float, Field(gt=0, le=1)]


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
    messages: Messages
    direction: Literal["input", "output", "both"] | None = None
    """Without it the role of the last message decides."""
    policies: list[str] = Field(default=[], max_length=16)
    thresholds: dict[str, Threshold] = Field(default={}, max_length=64)
    """p_unsafe from which a category blocks, instead of the policy's own."""
    dry_run: bool = False
    returns: list[Literal["scores", "rationale"]] = Field(default=["scores", "rationale"], alias="return")


class Guardrails(_Body):
    """What a request for NeMo Guardrails adds."""

    config_id: str | None = None
    config_ids: list[str] | None = None
    rail_types: list[str] | None = None
    context: Object | None = None
    thread_id: Annotated[str, Field(min_length=16, max_length=255)] | None = None
    options: Object | None = None
    state: Object | None = None


class Checks(_Body):
    """A chat completion's body, to be checked only."""

    messages: Messages
    model: str | None = None
    guardrails: Guardrails = Guardrails()


class LiteLLM(_Body):
    """LiteLLM's generic guardrail request."""

    input_type: Literal["request", "response"]
    texts: list[str] | None = None
    images: list[str] | None = None
    structured_messages: list[Object] | None = None
    tools: list[Object] | None = None
    tool_calls: list[Object] | None = None
    model: str | None = None
    litellm_call_id: str | None = None
    litellm_trace_id: str | None = None
    litellm_version: str | None = None
    request_data: Object = {}
    request_headers: Object | None = None
    additional_provider_specific_params: Object | None = None


class Chat(BaseModel):
    """A chat completion for the model behind this server. Fields that nobody can check are refused."""

    model_config = ConfigDict(extra="allow")
    messages: Messages
    model: str
    stream: bool = False
