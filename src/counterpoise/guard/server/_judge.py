"""From the verdicts of a policy's guards to one decision."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .._values import Exchange, Verdict
from ._config import Policy
from ._decision import Coverage, Decision, Outcome, Reason
from ._views import Part, View, parts_of, seen

Looked = tuple[View, Verdict]
ORDER: tuple[Outcome, ...] = ("allow", "review", "block")


def policy_version(policy: Policy, revisions: Sequence[str]) -> str:
    """Changes whenever the policy, one of its guards or a guard's revision does."""
    return hashlib.sha256("\n".join([policy.model_dump_json(), *revisions]).encode()).hexdigest()[:12]


def coverage(exchange: Exchange, looked: Sequence[Looked], uninspected: tuple[str, ...] = ()) -> Coverage:
    """How many parts were seen by some guard."""
    parts = seen(looked)
    answer = bool(exchange.answer and exchange.answer.strip())
    texts = (exchange.texts - answer if "texts" in parts else 0) + ("answer" in parts)
    images = sum(isinstance(part, int) for part in parts)
    return Coverage(exchange.texts, texts, exchange.images, images, uninspected)


def judge(
    name: str,
    policy: Policy,
    exchange: Exchange,
    looked: Sequence[Looked],
    *,
    version: str = "",
    uninspected: tuple[str, ...] = (),
    excused: frozenset[Part] = frozenset(),
    thresholds: Mapping[str, float] | None = None,
) -> Decision:
    """Block what a guard calls unsafe or cannot judge, and what no guard has seen.

    `excused` parts belong to guards that failed while failing open was allowed. `thresholds` of the request replace
    the policy's by category.
    """
    limits = {**policy.thresholds, **(thresholds or {})}
    found = [_one(verdict, policy, limits) for _, verdict in looked]
    reasons = [reason for _, reason in found if reason]
    outcomes = [outcome for outcome, _ in found]
    covered = coverage(exchange, looked, uninspected)
    if uninspected or parts_of(exchange) - seen(looked) - excused:
        outcomes.append("block")
        reasons.append(Reason("", None, None, None, "uninspected_content: " + _missing(covered)))
    worst: Outcome = max(outcomes, key=ORDER.index, default="allow")
    verdicts = tuple(verdict for _, verdict in looked)
    return Decision(worst, name, version, covered, tuple(reasons), verdicts, policy.dry_run, degraded=bool(excused))


def _one(verdict: Verdict, policy: Policy, limits: Mapping[str, float]) -> tuple[Outcome, Reason | None]:
    """What one verdict means: the strictest threshold of its categories; where one has none, its label stands."""
    by = {category: limits.get(category, policy.threshold) for category in verdict.categories}
    given = [each for each in (by.values() if by else [policy.threshold]) if each is not None]
    threshold = min(given) if given and len(given) == max(len(by), 1) else None
    category = next((c for c, each in by.items() if each == threshold), None)
    reason = Reason(verdict.guard, category, verdict.p_unsafe, threshold, verdict.reason or verdict.label)
    strict = policy.controversial == "block"
    if verdict.blocks(threshold, controversial=strict):
        return "block", reason
    if verdict.label == "controversial" and policy.controversial == "review":
        return "review", reason
    return "allow", None


def _missing(covered: Coverage) -> str:
    return (
        f"{covered.texts_checked} of {covered.texts_total} texts and "
        f"{covered.images_checked} of {covered.images_total} images were looked at"
        + (f"; nothing looks at {', '.join(covered.uninspected)}" if covered.uninspected else "")
    )


def together(decisions: Sequence[Decision]) -> Decision:
    """One decision from several policies or directions: what the strictest says. Those in dry run stop nothing."""
    real = [each for each in decisions if not each.dry_run] or list(decisions)
    top = max(real, key=lambda each: ORDER.index(each.verdict))
    names = dict.fromkeys(each.policy for each in decisions)
    verdicts = {id(v): v for each in decisions for v in each.verdicts}
    return replace(
        top,
        policy="+".join(names),
        policy_version="+".join(dict.fromkeys(each.policy_version for each in decisions)),
        coverage=min((each.coverage for each in decisions), key=lambda c: (c.complete, c.texts_checked)),
        reasons=tuple(dict.fromkeys(reason for each in decisions for reason in each.reasons)),
        verdicts=tuple(verdicts.values()),
        cached=all(each.cached for each in decisions),
        degraded=any(each.degraded for each in decisions),
        latency_ms=max(each.latency_ms for each in decisions),
    )
