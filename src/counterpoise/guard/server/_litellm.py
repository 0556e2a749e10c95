"""LiteLLM's Generic Guardrail API: five lines of YAML there, and every request passes through here."""

import json
import math
from collections.abc import Mapping
from typing import Any

from ._checker import Checker
from ._decision import Decision
from ._intake import pieces, read_messages
from ._moderation import x_guard
from ._schemas import LiteLLM

PATH = "/beta/litellm_basic_guardrail_api"


async def litellm(checker: Checker, body: LiteLLM) -> tuple[dict[str, Any], list[Decision]]:
    """Always with an `action`: NONE only when every text and image was looked at.

    Parameters may come from whoever calls the proxy, so they can only make it stricter: a named policy is asked
    besides the default one, thresholds count only where they are lower than the policies', dry_run is not heard.
    """
    given = body.additional_provider_specific_params or {}
    named = given.get("policy")
    names = checker.known([checker.config.default_policy, *([named] if isinstance(named, str) and named else [])])
    messages = conversation(body)
    if not messages:
        return {"action": "NONE", "x_guard": {"texts_total": 0, "images_total": 0}}, []
    intake = await read_messages(messages, checker.config.limits, checker.config.fetch)
    decision = await checker.decide(intake, names, thresholds=stricter(checker, names, given.get("thresholds")))
    if not decision.blocked:
        return {"action": "NONE", "x_guard": x_guard(decision)}, [decision]
    reason = "; ".join(
        f"{r.text}: {r.category}" if r.category and not r.text.startswith("uninspected") else r.text
        for r in decision.reasons
    )
    return {"action": "BLOCKED", "blocked_reason": reason, "x_guard": x_guard(decision)}, [decision]


def conversation(body: LiteLLM) -> list[dict[str, Any]]:
    """Messages with everything of the request in them. Texts and images that stand in `structured_messages` too are
    there once; those that do not are added. An answer is always added: as an answer it is another thing than the same
    words in a question."""
    messages = list(body.structured_messages or [])
    there = {
        (kind, value) for n, message in enumerate(messages) for kind, value, _ in pieces(message, f"messages.{n}")
    }  # fmt: skip
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": text}
        for text in body.texts or []
        if text.strip() and (body.input_type == "response" or ("text", text) not in there)
    ]
    parts += [
        {"type": "image_url", "image_url": {"url": image}}
        for image in body.images or []
        if ("image", image) not in there
    ]
    calls = json.dumps(body.tool_calls) if body.tool_calls else ""
    if body.input_type == "request":
        tools = [{"role": "system", "content": json.dumps(body.tools)}] if body.tools else []
        if calls:
            parts.append({"type": "text", "text": calls})
        return [*tools, *messages, *([{"role": "user", "content": parts}] if parts else [])]
    said = [*parts, *([{"type": "text", "text": calls}] if calls else [])]
    tools = [{"role": "system", "content": json.dumps(body.tools)}] if body.tools else []
    return [*tools, *messages, *([{"role": "assistant", "content": said}] if said else [])]


def stricter(checker: Checker, names: list[str], given: Any) -> Mapping[str, float]:
    """Thresholds of a request that are lower than those of every policy that is asked."""
    if not isinstance(given, Mapping):
        return {}
    found = {}
    for category, value in given.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value <= 0:
            continue
        own = [checker.config.policies[name] for name in names]
        limits = [each.thresholds.get(category, each.threshold) for each in own]
        if all(limit is not None and value <= limit for limit in limits):
            found[str(category)] = float(value)
    return found
