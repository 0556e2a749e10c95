"""From what a guard model said, pass by pass, to one verdict on the exchange."""

from collections.abc import Sequence

from .._values import Inspected, Label, Verdict, worst
from ._ask import Asked
from ._parse import Said
from ._passes import Plan

LEAST_MASS = 0.5
"""Of probability on the verdict's words; below it the model is not answering the question."""
KEPT = 4000  # characters of a reply


def verdict(asked: Sequence[Asked], plan: Plan, guard: str, threshold: float) -> Verdict:
    """The worst verdict over the passes of one exchange, of which there is at least one.

    A text or an image counts as inspected when no pass that should have shown it failed.
    """
    shown = frozenset().union(*(one.shown.keys for one in asked if one.reason is None))
    lost = frozenset().union(*(one.shown.keys for one in asked if one.reason is not None))
    seen = shown - lost
    inspected = Inspected(len(plan.texts & seen), len(plan.texts), len(plan.images & seen), len(plan.images))
    return worst([_of_pass(one, plan.unseen, inspected, guard, threshold) for one in asked], inspected)


def _of_pass(one: Asked, unseen: str | None, inspected: Inspected, guard: str, threshold: float) -> Verdict:
    label, why = _label_of(one, threshold)
    if label == "safe" and not inspected.complete:
        label, why = "unknown", unseen or "a part could not be shown"
    said = one.said or Said(label)
    categories = said.categories or ((one.category,) if one.category and label == "unsafe" else ())
    rationale = said.rationale or one.reasoning.strip()[:KEPT] or None
    if one.said is not None and one.p is not None and (one.p >= 0.5) != (one.said.label != "safe"):
        note = f"its text says {one.said.label}, its probability {one.p:.2f}"
        rationale = f"{rationale}; {note}" if rationale else note
    return Verdict(
        label, guard, inspected, p_unsafe=one.p, threshold=None if one.p is None else threshold, mass=one.mass,
        categories=categories, refusal=said.refusal, rationale=rationale, reason=why, raw=one.raw[:KEPT],
        features=one.features,
    )  # fmt: skip


def _label_of(one: Asked, threshold: float) -> tuple[Label, str | None]:
    """The label of one pass, and why where it is unknown."""
    if one.reason is not None:
        return "unknown", one.reason
    if one.mass is not None and one.mass < LEAST_MASS:
        return "unknown", f"{one.mass:.1%} of the probability is on the verdict's words"
    if one.off is not None:
        return "unknown", f"off its format: {one.off}"
    if one.p is not None:
        if one.p < threshold:
            return "safe", None
        return ("controversial" if one.controversial > 0.5 else "unsafe"), None
    if one.said is None:
        return "unknown", "no verdict in its reply"
    return one.said.label, None
