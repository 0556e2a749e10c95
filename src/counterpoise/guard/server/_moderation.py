"""A decision as a result of OpenAI's moderation endpoint."""

from typing import Any

from ._decision import Decision
from ._taxonomy import IMAGE_KEYS, KEYS, VERSION, targets


def result(found: Decision) -> dict[str, Any]:
    """`{flagged, categories, category_scores, category_applied_input_types, x_guard}`.

    A key's list names `image` only where the type of the client allows it and an image was looked at. A score is the
    largest p_unsafe of the guards that named the category. What the thirteen keys cannot say stands in `x_guard`.
    """
    scores = dict.fromkeys(KEYS, 0.0)
    hit: set[str] = set()
    unmapped: list[str] = []
    for verdict in found.verdicts:
        keys, others = targets(verdict.categories)
        unmapped += others
        for key in keys:
            scores[key] = max(scores[key], verdict.p_unsafe if verdict.p_unsafe is not None else 1.0)
            if verdict.label == "unsafe":
                hit.add(key)
    flagged = found.verdict == "block"
    text, image = found.coverage.texts_checked > 0, found.coverage.images_checked > 0
    seen = {key: ["text"] * text + ["image"] * (image and key in IMAGE_KEYS) for key in KEYS}
    calibrated = bool(found.verdicts) and all(v.calibrated for v in found.verdicts if v.p_unsafe is not None)
    limits = [reason.threshold for reason in found.reasons if reason.threshold is not None]
    details = {
        "guard": [v.guard for v in found.verdicts],
        "policy": found.policy,
        "policy_version": found.policy_version,
        "taxonomy_version": VERSION,
        "threshold": min(limits, default=None),
        "p_unsafe": found.p_unsafe,
        "calibrated": calibrated,
        "categories_native": list(found.categories),
        "categories_unmapped": unmapped,
        "reasons": [reason.text for reason in found.reasons],
        "images_total": found.coverage.images_total,
        "images_checked": found.coverage.images_checked,
        "texts_total": found.coverage.texts_total,
        "texts_checked": found.coverage.texts_checked,
        "uninspected": list(found.coverage.uninspected),
        "truncated": False,
        "latency_ms": round(found.latency_ms, 2),
        "cached": found.cached,
        "degraded": found.degraded,
        "dry_run": found.dry_run,
    }
    return {
        "flagged": flagged and not found.dry_run,
        "categories": {key: key in hit for key in KEYS},
        "category_scores": scores,
        "category_applied_input_types": seen,
        "x_guard": details,
    }
