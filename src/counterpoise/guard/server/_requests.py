"""Bodies of the endpoints. Unknown fields are accepted where the protocol's own servers accept them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Messages = list[dict[str, Any]]
Probability = Annotated[float, Field(gt=0, le=1)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


class ModerationBody(_Body):
    """OpenAI `POST /v1/moderations`."""

    input: str | list[str] | list[dict[str, Any]]
    """One text, several texts (one result each), or parts (one result over all)."""
    model: str | None = None
    """Name of a policy."""


class CheckBody(BaseModel):
    """Our own `POST /v1/guard/check`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    messages: Messages
    """Conversation in OpenAI's form."""
    direction: Literal["input", "output", "both"] | None = None
    """What is judged; without it the last role decides."""
    policies: list[str] = Field(default=[], max_length=8)
    """Policies to apply, the worst decision stands; default: the server's."""
    thresholds: dict[str, Probability] = Field(default={}, max_length=64)
    """Category -> p_unsafe from which it blocks, for this request."""
    dry_run: bool | None = None
    returns: list[Literal["scores", "rationale"]] = Field(default=["scores", "rationale"], alias="return")


class GuardrailsOptions(_Body):
    """What NeMo's endpoint takes beside the conversation."""

    config_id: str | None = None
    """Name of a policy."""
    config_ids: list[str] | None = None
    rail_types: list[Literal["input", "output"]] | None = None
    context: dict[str, Any] | None = None
    thread_id: str | None = Field(default=None, min_length=16, max_length=255)
    options: dict[str, Any] | None = None


class RailsBody(_Body):
    """NeMo Guardrails `POST /v1/checks`."""

    messages: Messages = Field(min_length=1)
    model: str | None = None
    guardrails: GuardrailsOptions = GuardrailsOptions()


class LiteLLMBody(_Body):
    """LiteLLM's generic guardrail endpoint."""

    input_type: Literal["request", "response"]
    request_data: dict[str, Any]
    texts: list[str] | None = None
    images: list[str] | None = None
    structured_messages: Messages | None = None
    tools: list[Any] | None = None
    tool_calls: list[Any] | None = None
    model: str | None = None
    litellm_call_id: str | None = None
    litellm_trace_id: str | None = None
    litellm_version: str | None = None
    request_headers: dict[str, Any] | None = None
    additional_provider_specific_params: dict[str, Any] | None = None
