"""The endpoints that check: OpenAI's moderation, NeMo's checks, LiteLLM's guardrail, and our own."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request

from counterpoise.chat import Message

from .._values import Exchange
from ._checker import Checker
from ._config import ServerConfig
from ._decision import Decision
from ._errors import ApiError
from ._intake import Intake, clean, read_messages
from ._moderation import result
from ._requests import CheckBody, LiteLLMBody, ModerationBody, RailsBody

RANK = {"allow": 0, "review": 1, "block": 2}


def router(config: ServerConfig, checker: Checker) -> APIRouter:
    """Routes over one checker."""
    routes = APIRouter()

    async def intake(messages: list[dict[str, Any]]) -> Intake:
        return await read_messages(messages, config.limits, config.fetch)

    async def decide(found: Intake, **options: Any) -> Decision:
        return await checker.check(found.exchange, uninspected=found.uninspected, **options)

    @routes.post("/v1/moderations")
    async def moderations(body: ModerationBody, request: Request) -> dict[str, Any]:
        """OpenAI's moderation endpoint; `model` names a policy. Details stand in `x_guard` of each result."""
        name, _ = checker.policy(body.model)
        items = body.input if isinstance(body.input, list) else [body.input]
        if not items:
            raise ApiError(422, "invalid_request", "input: empty", "input")
        if all(isinstance(item, str) for item in items):
            if len(items) > config.limits.texts:
                raise ApiError(413, "too_large", f"{len(items)} texts; at most {config.limits.texts} are looked at")
            asked = [await intake([{"role": "user", "content": item}]) for item in items]
        else:
            asked = [await intake([{"role": "user", "content": items}])]
        found = await asyncio.gather(*(decide(one, policy=name) for one in asked))
        return {"id": request.state.request_id, "model": name, "results": [result(one) for one in found]}

    @routes.post("/v1/guard/check")
    async def check(body: CheckBody, request: Request) -> dict[str, Any]:
        """A whole conversation, checked by one or several policies; the worst decision stands."""
        whole = await intake(body.messages)
        views = [directed(whole, "output" if body.direction == "both" else body.direction)]
        if body.direction == "both":
            views.append(Intake(Exchange(whole.exchange.conversation), whole.uninspected))
        options: dict[str, Any] = {"thresholds": body.thresholds, "dry_run": body.dry_run}
        names: list[str | None] = [*body.policies] or [None]
        decisions = await asyncio.gather(*(decide(view, policy=name, **options) for view in views for name in names))
        worst = max(decisions, key=lambda one: RANK[one.verdict])
        answer = worst.to_json() | {"request_id": request.state.request_id}
        if len(names) > 1:
            ranked = sorted(decisions, key=lambda one: RANK[one.verdict])
            answer["policies"] = {one.policy: one.verdict for one in ranked}
        for guard in answer["guards"]:
            for name, hidden in (("p_unsafe", "scores"), ("rationale", "rationale")):
                if hidden not in body.returns:
                    guard.pop(name)
        return answer

    @routes.post("/v1/checks")
    async def rails(body: RailsBody) -> dict[str, Any]:
        """NeMo Guardrails' check-only endpoint; `guardrails.config_id` names a policy."""
        options = body.guardrails
        if "state" in (body.model_extra or {}) or "state" in (options.model_extra or {}):
            raise ApiError(422, "invalid_request", "state may not be supplied by the caller", "state")
        if options.config_id and options.config_ids:
            raise ApiError(422, "invalid_request", "config_id or config_ids, not both", "guardrails.config_id")
        names = options.config_ids or ([options.config_id] if options.config_id else [None])  # type: ignore[list-item]
        if unknown := [name for name in names if name is not None and name not in config.policies]:
            known = ", ".join(config.policies)
            raise ApiError(422, "invalid_request", f"unknown configuration; known: {known}", f"{len(unknown)} names")
        found = await intake(body.messages)
        kinds = options.rail_types or (["output"] if found.exchange.answer is not None else ["input"])
        if "output" in kinds and found.exchange.answer is None:
            raise ApiError(422, "invalid_request", "output rails need a last message of the assistant", "messages")
        last = found.exchange.answer if "output" in kinds else found.exchange.conversation[-1].text
        for kind in kinds:
            for name in names:
                one = await decide(directed(found, kind), policy=name)  # type: ignore[arg-type]
                if one.blocked:
                    return {"status": "blocked", "content": "", "rail": one.policy}
        return {"status": "passed", "content": last or ""}

    @routes.post("/beta/litellm_basic_guardrail_api")
    async def litellm(body: LiteLLMBody) -> dict[str, Any]:
        """LiteLLM's generic guardrail: NONE, or BLOCKED with a reason. What cannot be inspected is BLOCKED."""
        params: Mapping[str, Any] = body.additional_provider_specific_params or {}
        found = await _of_litellm(body, intake)
        options = {name: params[name] for name in ("policy", "dry_run") if name in params}
        if isinstance(limits := params.get("thresholds"), dict):
            options["thresholds"] = {str(k): float(v) for k, v in limits.items() if isinstance(v, int | float)}
        if not isinstance(options.get("policy", ""), str) or not isinstance(options.get("dry_run", True), bool):
            where = "additional_provider_specific_params"
            raise ApiError(422, "invalid_request", f"{where}: policy is a name, dry_run true or false", where)
        one = await decide(found, **options)
        if not one.blocked:
            return {"action": "NONE"}
        reason = one.reasons[0]
        return {"action": "BLOCKED", "blocked_reason": reason.category or reason.text}

    return routes


def directed(found: Intake, direction: str | None) -> Intake:
    """The exchange in the asked direction. `output` judges the answer and needs one; `input` judges all that stands in
    the conversation, and reads an answer that is there as part of what the user says."""
    exchange = found.exchange
    if direction == "output" and exchange.answer is None:
        raise ApiError(422, "invalid_request", "direction output needs a last message of the assistant", "direction")
    if direction != "input" or exchange.answer is None:
        return found
    last = exchange.conversation[-1]
    said = Message(last.role, (*last.parts, "\n\n", exchange.answer))
    return Intake(Exchange((*exchange.conversation[:-1], said)), found.uninspected, found.images)


async def _of_litellm(body: LiteLLMBody, intake: Any) -> Intake:
    """Everything that LiteLLM sent: its messages, and texts and images beside them, which can differ."""
    messages = [dict(message) for message in body.structured_messages or []]
    parts: list[dict[str, Any]] = [{"type": "text", "text": clean(text)} for text in body.texts or []]
    parts += [{"type": "image_url", "image_url": {"url": image}} for image in body.images or []]
    for name, extra in (("tools", body.tools), ("tool_calls", body.tool_calls)):
        parts += [{"type": "text", "text": f"{name}: {value}"} for value in extra or []]
    if parts:
        if body.input_type == "response":
            images = [part for part in parts if part["type"] == "image_url"]
            messages += [{"role": "user", "content": images}] if images else []
            texts = [part for part in parts if part["type"] == "text"]
            messages += [{"role": "assistant", "content": texts}] if texts else []
        else:
            messages.append({"role": "user", "content": parts})
    if not messages:
        raise ApiError(422, "invalid_request", "texts, images and structured_messages are all empty", "texts")
    found: Intake = await intake(messages)
    return found
