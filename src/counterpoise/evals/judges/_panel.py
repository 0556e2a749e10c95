"""Panels: several judges, and the label most of them give."""

from collections.abc import Sequence
from typing import Any

from counterpoise.base import InputError

from ._protocol import Case, Done, Facts, Judge, Judgement, judge_all, unscored


class Panel:
    """The majority of judges that measure the same thing. A tie is unscored, and so is a case that no more than half
    of the members could judge. Raises InputError for fewer than two members, a member twice, or mixed measures."""

    def __init__(self, members: Sequence[Judge]):
        ids = [member.id for member in members]
        if len(members) < 2 or len(set(ids)) < len(ids):
            raise InputError(f"panel: give at least two different judges, got {', '.join(ids) or 'none'}")
        measures = {member.facts.measures for member in members}
        if len(measures) > 1:
            named = ", ".join(f"{member.facts.name} measures {member.facts.measures}" for member in members)
            raise InputError(f"panel: judges of one panel must measure the same: {named}")
        self.members = tuple(sorted(members, key=lambda member: member.id))
        self.id = f"panel({','.join(member.id for member in self.members)})"
        first = self.members[0].facts
        self.facts = Facts(
            f"panel({','.join(member.facts.name for member in self.members)})", 1, first.measures,
            "image + prompt + answer" if any("image" in m.facts.sees for m in members) else
            "prompt + answer" if any("prompt" in m.facts.sees for m in members) else "answer",
            ("yes", "no"), "majority of its members", "errors that the members share are not voted away",
            of=tuple(dict.fromkeys(name for member in members for name in member.facts.of)),
            needs=tuple(dict.fromkeys(name for member in members for name in member.facts.needs)),
        )  # fmt: skip

    def judge(self, cases: Sequence[Case], done: Done) -> None:
        """Members one after the other; a member judges all cases before the next begins."""
        found = [judge_all(member, cases) for member in self.members]
        for place, votes in enumerate(zip(*found, strict=True)):
            done(place, self.combine(votes))

    @property
    def detours(self) -> dict[str, Any]:
        """By the id of a member, where there were some."""
        return {member.id: found for member in self.members if (found := getattr(member, "detours", None))}

    def combine(self, votes: Sequence[Judgement]) -> Judgement:
        """Majority of the members that gave a value; a value of at least one half is a yes."""
        said = [None if vote.score is None else vote.score >= 0.5 for vote in votes]
        yes, no = said.count(True), said.count(False)
        why = "; ".join(f"{vote.judge}: {vote.label or f'unscored ({vote.reason})'}" for vote in votes)
        if 2 * (yes + no) <= len(votes):
            return unscored(self.id, "panel_incomplete", why)
        if yes == no:
            return unscored(self.id, "tie", why)
        return Judgement(self.id, "yes" if yes > no else "no", float(yes > no), rationale=why[:2000])
