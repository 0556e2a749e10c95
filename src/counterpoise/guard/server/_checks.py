"""Our own `POST /v1/guard/check`, and NeMo Guardrails' `POST /v1/checks`."""

from collections.abc import Mapping, Sequence
from typing import Any

from ._checker import Checker
from ._decision import Decision
from ._errors import ApiError
from ._judge import together
from ._moderation import size, x_guard
from ._schemas import Check, Checks
from .intake import Direction, Intake, clean, pieces, read_messages, tools_message

WITHHELD = "This content was withheld by a safety check."


async def check(checker: Checker, body: Check, request_id: str) -> tuple[dict[str, Any], list[Decision]]:
    """Everything we can say about a conversation."""
    checker.known(body.policies)
    intake = await read_messages(body.messages, checker.config.limits, checker.config.fetch)
    decision = together([
        await checker.decide(each, body.policies, thresholds=body.thresholds, dry_run=body.dry_run)
        for each in directed(intake, body.direction)
    ])  # fmt: skip
    answer = decision.to_json() | {"request_id": request_id}
    answer["coverage"]["bytes"] = size(intake)
    for guard in answer["guards"]:
        if "rationale" not in body.returns:
            del guard["rationale"]
        if "scores" not in body.returns:
            del guard["p_unsafe"]
    return answer, [decision]


def directed(intake: Intake, direction: Direction | None) -> list[Intake]:
    """The exchanges that a direction means: the request, the answer, or both. Raises ApiError 422 where it has none."""
    exchange = intake.exchange
    if direction is None or (direction == "input" and exchange.answer is None):
        return [intake]
    if exchange.answer is None:
        why = f"direction {direction}: the last message is not the assistant's"
        raise ApiError(422, "invalid_request", why, "direction")
    if direction == "output":
        return [intake]
    if direction == "input":
        why = "direction input: the last message is the assistant's and would go unchecked; leave it out"
        raise ApiError(422, "invalid_request", why, "direction")
    return [intake.asked, intake]


async def nemo_checks(checker: Checker, body: Checks) -> tuple[dict[str, Any], list[Decision]]:
    """NeMo's answer: passed or blocked. A configuration is a policy of ours; its rails are `input` and `output`."""
    asked = body.guardrails
    if asked.state is not None:
        raise ApiError(422, "invalid_request", "guardrails.state: not accepted from callers", "guardrails.state")
    if asked.config_id is not None and asked.config_ids is not None:
        raise ApiError(422, "invalid_request", "guardrails: give config_id or config_ids", "guardrails.config_id")
    names = asked.config_ids if asked.config_ids is not None else [] if asked.config_id is None else [asked.config_id]
    if any(name not in checker.config.policies for name in names):
        known = ", ".join(checker.config.policies)
        raise ApiError(422, "invalid_request", f"unknown configuration; known ones: {known}", "guardrails.config_id")
    rails = asked.rail_types
    if rails is not None and (not rails or set(rails) - {"input", "output"}):
        raise ApiError(422, "invalid_request", "guardrails.rail_types: expected input, output", "guardrails.rail_types")
    extra = tools_message([*(body.tools or ()), *(body.functions or ())])
    limits, fetch = checker.config.limits, checker.config.fetch
    intake = await read_messages([*extra, *body.messages] if body.messages else [], limits, fetch, skip=len(extra))
    sides = directed(intake, _direction(rails, body.messages, intake))
    decisions = [await checker.decide(each, names) for each in sides]
    decision = together(decisions)
    last = "\n\n".join(clean(each.value) for each in pieces(body.messages[-1], "messages.0") if each.kind == "text")
    answer: dict[str, Any] = {"status": "passed", "content": last, "x_guard": x_guard(decision)}
    if decision.blocked:
        stopped = next(n for n, each in enumerate(decisions) if each.blocked)
        rail = "input" if sides[stopped].exchange.answer is None else "output"
        answer |= {"status": "blocked", "content": WITHHELD, "rail": f"{rail}: {decision.policy}"}
    return answer, [decision]


def _direction(rails: list[str] | None, messages: Sequence[Mapping[str, Any]], intake: Intake) -> Direction | None:
    """As asked for; otherwise by the roles, as NeMo has it: both sides where a question and its answer are there."""
    if rails is not None:
        return "both" if len(set(rails)) == 2 else "input" if "input" in rails else "output"
    others = any(message.get("role") != "assistant" for message in messages)
    return "both" if others and intake.exchange.answer is not None else None
