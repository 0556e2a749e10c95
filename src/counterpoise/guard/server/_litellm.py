"""LiteLLM's Generic Guardrail API: five lines of YAML there, and every request passes through here."""

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any

from ._checker import Checker
from ._decision import Decision
from ._judge import together
from ._moderation import x_guard
from ._schemas import LiteLLM
from .intake import most, pieces, read_messages, tools_message

PATH = "/beta/litellm_basic_guardrail_api"


async def litellm(checker: Checker, body: LiteLLM) -> tuple[dict[str, Any], list[Decision]]:
    """Always with an `action`: NONE only when every text and image was looked at.

    Parameters may come from whoever calls the proxy, so they can only make it stricter: a named policy is asked
    besides the default one, thresholds count only where they are lower than the policies', dry_run is not heard.
    """
    given = body.additional_provider_specific_params or {}
    named = given.get("policy")
    names = checker.known([checker.config.default_policy, *([named] if isinstance(named, str) and named else [])])
    messages = conversation(body, most(checker.config.limits))
    if not messages and body.input_type == "response" and body.texts:
        # a stream that has only begun, or an answer of blanks: LiteLLM asks about them, and there is nothing in them
        return {"action": "NONE", "x_guard": {"texts_total": 0, "images_total": 0}}, []
    config = checker.config
    intake = await read_messages(messages, config.limits, config.fetch, skip=bool(body.tools))
    # a request may end with the beginning of an answer; then both are judged
    sides = [intake] if body.input_type == "response" or intake.exchange.answer is None else [intake.asked, intake]
    thresholds = stricter(checker, names, given.get("thresholds"))
    decision = together([await checker.decide(side, names, thresholds=thresholds) for side in sides])
    if not decision.blocked:
        return {"action": "NONE", "x_guard": x_guard(decision)}, [decision]
    reasons = dict.fromkeys(f"{r.text}: {r.category}" if r.category else r.text for r in decision.reasons)
    return {"action": "BLOCKED", "blocked_reason": "; ".join(reasons), "x_guard": x_guard(decision)}, [decision]


def conversation(body: LiteLLM, limit: int | None = None) -> list[dict[str, Any]]:
    """Messages with everything of the request in them; tools come first, as the system's. What LiteLLM took out of
    `structured_messages` is there once, the rest is added. An answer is always added: as an answer it is another thing
    than the same words in a question. Up to `limit` pieces are compared; a request with more is refused later."""
    messages = list(body.structured_messages or [])
    every = (each for n, message in enumerate(messages) for each in pieces(message, f"messages.{n}"))
    there = {(each.kind, each.value) for each in islice(every, limit)}
    answer = body.input_type == "response"
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": text}
        for text in body.texts or []
        if text.strip() and (answer or ("text", text) not in there)
    ]
    parts += [
        {"type": "image_url", "image_url": {"url": image}}
        for image in body.images or []
        if ("image", image) not in there
    ]
    more: dict[str, Any] = {"role": "assistant" if answer else "user"}
    more |= {"content": parts} if parts else {}
    more |= {"tool_calls": body.tool_calls} if body.tool_calls else {}
    return [*tools_message(body.tools), *messages, *([more] if len(more) > 1 else [])]


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
