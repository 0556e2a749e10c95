"""`POST /v1/moderations`, in the shape of OpenAI's, with what was really inspected in `x_guard`."""

import asyncio
from dataclasses import asdict
from typing import Any

from counterpoise.chat import Image

from ._categories import IMAGE_KEYS, KEYS, covered, to_keys
from ._checker import Checker
from ._decision import Decision
from ._errors import ApiError
from ._schemas import Moderation
from ._tasks import gathered
from ._views import NOTHING
from .intake import Intake, read_messages

AT_ONCE = 32
"""Texts of one request that wait for guards at the same time, so that one request does not fill the queue."""


async def moderate(checker: Checker, body: Moderation, request_id: str) -> tuple[dict[str, Any], list[Decision]]:
    """The answer, and the decisions behind its results."""
    policies = checker.known([body.model] if body.model else [])
    limits, fetch = checker.config.limits, checker.config.fetch
    contents: list[Any]
    if isinstance(body.input, str):
        contents = [body.input]
    elif body.input and all(isinstance(each, str) for each in body.input):
        contents = list(body.input)
    else:
        contents = [body.input]
    if not body.input or len(contents) > limits.texts:
        status, code = (413, "too_large") if body.input else (422, "invalid_request")
        raise ApiError(status, code, f"input: expected 1 to {limits.texts} texts", "input")
    intakes = [await read_messages([{"role": "user", "content": each}], limits, fetch) for each in contents]
    free = asyncio.Semaphore(AT_ONCE)

    async def decide(intake: Intake) -> Decision:
        async with free:
            return await checker.decide(intake, policies)

    decisions = await gathered(decide(intake) for intake in intakes)
    results = [result(decision, intake) for decision, intake in zip(decisions, intakes, strict=True)]
    return {"id": request_id, "model": "+".join(policies), "results": results}, decisions


def result(decision: Decision, intake: Intake) -> dict[str, Any]:
    """One result. `flagged` is what a client must obey; categories and scores say as much as the guards said."""
    categories, scores = dict.fromkeys(KEYS, False), dict.fromkeys(KEYS, 0.0)
    kinds: dict[str, list[str]] = {key: [] for key in KEYS}
    for verdict in decision.verdicts:
        for key in to_keys(verdict.guard, verdict.categories):
            categories[key] = categories[key] or decision.verdict == "block"
            sure = 1.0 if verdict.label == "unsafe" else 0.0
            scores[key] = max(scores[key], verdict.p_unsafe if verdict.p_unsafe is not None else sure)
        for key in covered(verdict.guard) if verdict.label != "unknown" else ():
            if verdict.inspected.texts and "text" not in kinds[key]:
                kinds[key].append("text")
            if verdict.inspected.images and key in IMAGE_KEYS and "image" not in kinds[key]:
                kinds[key].append("image")
    return {
        "flagged": decision.blocked,
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": kinds,
        "x_guard": x_guard(decision) | {"bytes": size(intake)},
    }


def x_guard(decision: Decision) -> dict[str, Any]:
    """What OpenAI's shape cannot say."""
    covered_parts = decision.coverage
    return {
        "guard": [v.guard for v in decision.verdicts], "verdict": decision.verdict, "policy": decision.policy,
        "policy_version": decision.policy_version, "dry_run": decision.dry_run, "degraded": decision.degraded,
        "threshold": next((r.threshold for r in decision.reasons if r.threshold is not None), None),
        "p_unsafe": decision.p_unsafe, "calibrated": all(v.calibrated for v in decision.verdicts),
        "categories_native": list(decision.categories), "reasons": [r.text for r in decision.reasons],
        "parts": [r.part and asdict(r.part) for r in decision.reasons],
        "images_total": covered_parts.images_total, "images_checked": covered_parts.images_checked,
        "texts_total": covered_parts.texts_total, "texts_checked": covered_parts.texts_checked,
        "uninspected": list(covered_parts.uninspected), "truncated": False,
        "latency_ms": round(decision.latency_ms, 2), "cached": decision.cached,
    }  # fmt: skip


def size(intake: Intake) -> int:
    """Bytes of the texts and of the images as they are encoded."""
    parts = [part for message in intake.exchange.conversation for part in message.parts if part is not NOTHING]
    texts = [part for part in [*parts, intake.exchange.answer or ""] if isinstance(part, str)]
    images = [part for part in parts if isinstance(part, Image)]
    return sum(len(text.encode("utf-8", "replace")) for text in texts) + sum(len(image.read()) for image in images)
