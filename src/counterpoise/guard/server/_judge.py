"""From the verdicts of a policy's guards to one decision."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .._values import Exchange, Verdict
from ._categories import native
from ._config import Policy
from ._decision import ORDER, Coverage, Decision, Outcome, Place, Reason
from ._views import NOWHERE, Part, Places, View, parts_of, seen, texts_of

Looked = tuple[View, Verdict]


def policy_version(policy: Policy, revisions: Sequence[str]) -> str:
    """Changes whenever the policy, one of its guards or a guard's revision does."""
    return hashlib.sha256("\n".join([policy.model_dump_json(), *revisions]).encode()).hexdigest()[:12]


def coverage(exchange: Exchange, looked: Sequence[Looked], uninspected: tuple[str, ...] = ()) -> Coverage:
    """How many parts were seen by some guard."""
    parts = seen(looked)
    answer = bool(exchange.answer and exchange.answer.strip())
    total = texts_of(exchange)
    texts = (total - answer if "texts" in parts else 0) + ("answer" in parts)
    images = sum(isinstance(part, int) for part in parts)
    return Coverage(total, texts, exchange.images, images, uninspected)


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
    places: Places = NOWHERE,
) -> Decision:
    """Block what a guard calls unsafe or cannot judge, and what no guard has seen.

    `excused` parts belong to guards that failed while failing open was allowed. `thresholds` of the request replace
    the policy's by category.
    """
    limits = {**policy.thresholds, **(thresholds or {})}
    found = [_one(verdict, policy, limits) for _, verdict in looked]
    outcomes = [outcome for outcome, _ in found]
    reasons = [
        replace(reason, policy=name, part=places.of(view.parts))
        for (view, _), (_, reason) in zip(looked, found, strict=True) if reason
    ]  # fmt: skip
    covered = coverage(exchange, looked, uninspected)
    if missing := [*_others(uninspected, places), *_left(parts_of(exchange) - seen(looked) - excused, places)]:
        outcomes.append("block")
        why = "uninspected_content: " + _missing(covered)
        reasons += [Reason(name, "", None, None, None, why, part) for part in dict.fromkeys(missing)]
    worst: Outcome = max(outcomes, key=ORDER.index, default="allow")
    verdicts = tuple(verdict for _, verdict in looked)
    return Decision(worst, name, version, covered, tuple(reasons), verdicts, policy.dry_run, degraded=bool(excused))


def _others(kinds: Sequence[str], places: Places) -> list[Place | None]:
    """Where there is what nobody can look at; None for kinds whose place is not known."""
    known = {kind for kind, _ in places.others}
    return [*(place for _, place in places.others), *(None for kind in kinds if kind not in known)]


def _left(parts: frozenset[Part], places: Places) -> list[Place | None]:
    """Where there are parts that no guard has seen."""
    found: list[Place | None] = [places.of([part]) for part in sorted(p for p in parts if isinstance(p, int))]
    found += (list(places.texts) or [None]) if "texts" in parts else []
    return found + ([places.answer] if "answer" in parts else [])


def _one(verdict: Verdict, policy: Policy, limits: Mapping[str, float]) -> tuple[Outcome, Reason | None]:
    """What one verdict means: the strictest threshold of its categories, and its label where one has none.

    A guard that names no category, as most do below a probability of their own, may mean any that it knows: then the
    strictest threshold of those holds, besides the policy's.
    """
    named = {category: limits.get(category, policy.threshold) for category in verdict.categories}
    meant: Mapping[str, float | None] = {}
    if not named:
        meant = {category: limits[category] for category in native(verdict.guard) if category in limits}
    every = [*named.values()] if named else [policy.threshold, *meant.values()]
    given = [each for each in every if each is not None]
    asked: list[float | None] = [min(given)] if given else []
    if None in every:
        asked.append(None)
    strict = policy.controversial == "block"
    stops = [each for each in asked if verdict.blocks(each, controversial=strict)]
    threshold = stops[0] if stops else asked[0]
    category = next((c for c, each in (named or meant).items() if each == threshold), None)
    why = verdict.reason or verdict.label
    if category in meant:
        why += f"; no category named, so it may be {category}"
    reason = Reason("", verdict.guard, category, verdict.p_unsafe, threshold, why)
    if stops:
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


def _strictness(found: Coverage) -> tuple[bool, int, int]:
    """What is not complete comes first, then what counts most parts, then what has seen least of them."""
    return found.complete, -found.texts_total - found.images_total, found.texts_checked + found.images_checked


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
        coverage=min((each.coverage for each in decisions), key=_strictness),
        reasons=tuple(dict.fromkeys(reason for each in decisions for reason in each.reasons)),
        verdicts=tuple(verdicts.values()),
        cached=all(each.cached for each in decisions),
        degraded=any(each.degraded for each in decisions),
        latency_ms=max(each.latency_ms for each in decisions),
    )
