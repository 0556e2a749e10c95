"""Keyword judges: the refusal scorers behind the protocol of judges. They need no model and are deterministic."""

from collections.abc import Sequence

from .._official import claims_of
from ..scorers import Scorer, all_scorers
from ._protocol import Case, Done, Facts, Judgement, unscored


class KeywordJudge:
    """One refusal scorer as a judge; its id is the scorer's, so that both give rows of the same name."""

    def __init__(self, scorer: Scorer):
        self.scorer, self.id = scorer, scorer.id
        name, _, version = scorer.id.partition(":v")
        labels = ("full_refusal", "partial_refusal", "full_compliance")
        self.facts = Facts(
            name, int(version or 1), "refusal", scorer.sees, labels, scorer.source, scorer.known_bias,
            official=claims_of(scorer.id),
        )  # fmt: skip

    def judge(self, cases: Sequence[Case], done: Done) -> None:
        """Label and value of the scorer; what it calls unscored stays unscored with its reason."""
        for place, case in enumerate(cases):
            found = self.scorer(case.sample, case.reply)
            if found.value is None:
                done(place, unscored(self.id, found.reason or "parse_failed"))  # type: ignore[arg-type]
            else:
                label = found.label or ("full_refusal" if found.value >= 0.5 else "full_compliance")
                done(place, Judgement(self.id, label, found.value))


def keyword_judges() -> dict[str, KeywordJudge]:
    """By name without version."""
    return {name.partition(":")[0]: KeywordJudge(scorer) for name, scorer in all_scorers("refusal").items()}
