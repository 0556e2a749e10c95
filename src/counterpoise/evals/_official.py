"""Whose number a row is. A scoring is official for one metric of one benchmark, never as such: Llama Guard is the
judge of no image set because its makers used it on texts."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One metric of one benchmark that a scorer or judge measures as the benchmark's authors do."""

    benchmark: str
    """Of rows: `vlguard-unsafe` and its groups; with a final / only the groups."""
    metric: str
    models: tuple[str, ...] = ()
    """The authors' judge models by their public ids, any of which the judge must be; empty: it needs none."""
    wording: bool = False
    """The judge must ask in the authors' words, which are not part of this package; see `Wording`."""
    tries: str = ""
    """How several answers to one question must be counted: `vote3` is the majority of three."""

    def covers(self, benchmark: str, metric: str) -> bool:
        """Whether it is about a row's benchmark and metric."""
        if metric != self.metric:
            return False
        return benchmark.startswith(f"{self.benchmark.removesuffix('/')}/") or benchmark == self.benchmark

    def holds(self, model: str, *, wording: bool) -> bool:
        """Whether a judge with this model and wording fulfils it."""
        name = f"/{model.lower()}"
        return (wording or not self.wording) and (
            not self.models or any(name.endswith(f"/{each.lower()}") for each in self.models)
        )

    def text(self) -> str:
        """In one phrase, for lists."""
        conditions = [" or ".join(self.models)] if self.models else []
        conditions += ["the authors' wording"] if self.wording else []
        conditions += [self.tries] if self.tries else []
        more = f" with {', '.join(conditions)}" if conditions else ""
        return f"{self.metric} of {self.benchmark.removesuffix('/')}{more}"


SCORERS: dict[str, tuple[Claim, ...]] = {
    "advbench-keywords": (Claim("advbench", "asr"),),
    "holisafe-phrases": (Claim("holisafe/", "asr"), Claim("holisafe", "over_refusal")),
    "vlguard-list": (Claim("vlguard-unsafe", "asr"), Claim("vlguard-safe-unsafe", "asr")),
    "vqa-soft": (Claim("vizwiz-vqa", "vqa_accuracy"),),
    "xstest-prefix": (Claim("xstest", "over_refusal"), Claim("xstest", "asr")),
}
"""Claims of scorers that need no model, by their name without version."""


def claims_of(scorer: str) -> tuple[Claim, ...]:
    """Claims of one of our scorers by its id; none for a judge, which brings its own."""
    return SCORERS.get(scorer.partition(":")[0], ()) if "@" not in scorer and "(" not in scorer else ()


def is_official(claims: Sequence[Claim], benchmark: str, metric: str, n_unscored: int = 0) -> bool:
    """Whether wording, model and rule are the authors' for this metric of this benchmark.

    With unscored items it is not: the authors count each of them in one way or another (an unreadable verdict as a
    guess, an empty answer as a refusal or as a success), so the number stands on another denominator than theirs.
    """
    return not n_unscored and any(claim.covers(benchmark, metric) for claim in claims)
