"""One precondition of one rule on one image, as a conversation: it yields what it needs to know and gets the answers.

Who answers, one by one or in large batches, makes no difference to what is decided.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from counterpoise.chat import Image

from ._ask import Query
from ._constitution import Central, Rule
from ._decide import PAPER, Constants, any_of, decide
from ._regions import Fill, combine, is_small, only, without
from ._values import Evidence, Found, Reading


class Detect(NamedTuple):
    """Where the central words are. Answered by one Found or None for each word."""

    image: Image
    words: tuple[str, ...]


class Read(NamedTuple):
    """A token query. Answered by a Reading."""

    query: Query


class Reason(NamedTuple):
    """A reasoned query. Answered by a Rated."""

    query: Query


Request = Detect | Read | Reason
Conversation = Generator[list[Request], list[Any], tuple[Evidence, ...]]


@dataclass(frozen=True)
class Settings:
    """How preconditions are decided."""

    constants: Constants = PAPER
    fill: Fill = "mean"
    """What a removed region is filled with; the paper does not say."""
    detect: bool = True
    """Without a detector nothing is removed or cropped: step c is skipped."""
    reasoning: bool = True
    """Without it, what the probabilities do not decide is unknown."""


class _Member(NamedTuple):
    """One text of the OR group on its way."""

    evidence: Evidence
    image: Image
    """What is shown: the image, or the crop of a small region."""


def precondition(image: Image, rule: Rule, group: int, settings: Settings) -> Conversation:
    """Decide one OR group: steps a and b for every text, c for those still open, then d, until one is satisfied.

    Returns the evidence about every text that was looked at.
    """
    texts = rule.groups[group]
    centrals = [rule.central_of(group, n) if settings.detect else None for n in range(len(texts))]
    regions = yield from _regions(image, centrals, settings.constants)
    members = [_member(image, text, found, settings.constants) for text, found in zip(texts, regions, strict=True)]
    members = yield from _by_probability(members, settings.constants)
    if _open(members):
        members = yield from _by_removal(image, members, settings)
    if _open(members):
        members = yield from _by_reasoning(members, settings)
    enough = any_of([member.evidence.answer for member in members]) == "yes"
    return tuple(_close(member.evidence) if enough else member.evidence for member in members)


def _close(evidence: Evidence) -> Evidence:
    """What was left open because another text of the group is satisfied."""
    open_ = evidence.answer == "unknown" and not evidence.reason
    return replace(evidence, reason="one of the group is enough") if open_ else evidence


def _regions(
    image: Image, centrals: Sequence[Central | None], constants: Constants
) -> Generator[list[Request], list[Any], list[Found | None]]:
    wanted = [central for central in centrals if central is not None]
    if not wanted:
        return [None] * len(centrals)
    answers = iter((yield [Detect(image, central.words) for central in wanted]))
    size = image.pil().size
    return [
        None if central is None else combine(central, next(answers), constants.least_confidence, size)
        for central in centrals
    ]


def _member(image: Image, text: str, found: Found | None, constants: Constants) -> _Member:
    cropped = found is not None and is_small(found.box, image.pil().size, constants.small)
    shown = only(image, found.box) if cropped and found is not None else image
    return _Member(Evidence(text, "unknown", None, found=found, cropped=cropped), shown)


def _by_probability(members: list[_Member], constants: Constants) -> Generator[list[Request], list[Any], list[_Member]]:
    """Steps a and b."""
    requests: list[Request] = [Read(Query(m.image, m.evidence.text)) for m in members]
    requests += [Read(Query(None, m.evidence.text)) for m in members]
    readings = yield requests
    done = []
    for member, seen, prior in zip(members, readings[: len(members)], readings[len(members) :], strict=True):
        decided = decide(_known(seen, constants), _known(prior, constants), constants=constants)
        evidence = replace(member.evidence, image=seen, prior=prior)
        if decided.decision != "reason":
            evidence = replace(evidence, answer=decided.decision, path=decided.path)
        done.append(member._replace(evidence=evidence))
    return done


def _by_removal(
    image: Image, members: list[_Member], settings: Settings
) -> Generator[list[Request], list[Any], list[_Member]]:
    """Step c, for members with a region. It compares the whole image with and without the region, cropped or not.

    M falls by at most itself. So where it does not exceed the constant, nothing is removed and nothing asked.
    """
    open_ = [m for m in members if m.evidence.answer == "unknown" and m.evidence.found is not None]
    cropped = [m for m in open_ if m.evidence.cropped]
    seen = (yield [Read(Query(image, m.evidence.text)) for m in cropped]) if cropped else []
    done = {m.evidence.text: replace(m.evidence, whole=whole) for m, whole in zip(cropped, seen, strict=True)}
    able: list[tuple[Evidence, float]] = []
    requests: list[Request] = []
    for evidence in (done.get(m.evidence.text, m.evidence) for m in open_):
        before = _known(evidence.whole or evidence.image, settings.constants)
        if before is not None and before > settings.constants.centre:
            assert evidence.found is not None
            able.append((evidence, before))
            requests.append(Read(Query(without(image, evidence.found.box, settings.fill), evidence.text)))
    answers: list[Reading] = (yield requests) if requests else []
    for (evidence, before), again in zip(able, answers, strict=True):
        found = replace(evidence, removed=again)
        if decide(before, None, _known(again, settings.constants), settings.constants).decision == "yes":
            found = replace(found, answer="yes", path="c")
        done[evidence.text] = found
    return [m._replace(evidence=done.get(m.evidence.text, m.evidence)) for m in members]


def _by_reasoning(members: list[_Member], settings: Settings) -> Generator[list[Request], list[Any], list[_Member]]:
    """Step d. A reply without a rating has been asked again for one word; what that does not say is unknown."""
    open_ = [member for member in members if member.evidence.answer == "unknown"]
    if not settings.reasoning:
        reason = "the probabilities do not decide, and reasoning is off"
        done = {m.evidence.text: replace(m.evidence, reason=reason) for m in open_}
    else:
        answers = yield [Reason(Query(m.image, m.evidence.text)) for m in open_]
        done = {}
        for member, rated in zip(open_, answers, strict=True):
            evidence = replace(member.evidence, rationale=rated.rationale, again=rated.again)
            yes = rated.answer(settings.constants.least_mass)
            if yes is None:
                evidence = replace(evidence, reason="the reasoned reply has no rating that can be read")
            else:
                evidence = replace(evidence, answer="yes" if yes else "no", path="d")
            done[member.evidence.text] = evidence
    return [m._replace(evidence=done.get(m.evidence.text, m.evidence)) for m in members]


def _open(members: Sequence[_Member]) -> bool:
    return any_of([member.evidence.answer for member in members]) == "unknown"


def _known(reading: Reading | None, constants: Constants) -> float | None:
    """M, unless too little of the probability lies on yes and no for it to mean anything."""
    return reading.m if reading is not None and reading.mass >= constants.least_mass else None
