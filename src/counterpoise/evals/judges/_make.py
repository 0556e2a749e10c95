"""Judges by name: `opening`, `strongreject-rubric@openai/gpt-4o`, `wildguard@my/folder`, `panel:a,b,c`, `vote3:a`."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from counterpoise.base import InputError

from ._classifier import ClassifierJudge
from ._classifier_kinds import KINDS
from ._graders import MM_VET, VLGUARD_WIN
from ._keywords import KeywordJudge, keyword_judges
from ._llm import RubricJudge
from ._panel import Panel
from ._protocol import Facts, Judge
from ._rubric import Rubric
from ._rubrics_image import MIS, MM_SAFETYBENCH, MSSBENCH
from ._rubrics_image_use import MOSSBENCH, SIUO, XSTEST_IMAGE
from ._rubrics_text import DO_NOT_ANSWER, JAILBREAKBENCH, JAILBREAKBENCH_REFUSAL, OR_BENCH, STRONGREJECT, XSTEST
from ._tries import Tries, tries_of

GROUP = "counterpoise.judges"
"""Entry-point group of third parties: each entry is a class (or function) with an attribute `facts`, called with what
stands after @ in the judge's name, or None; it returns a `Judge`."""

RUBRICS: Mapping[str, Rubric] = {
    rubric.facts.name: rubric
    for rubric in (
        MM_SAFETYBENCH, MSSBENCH, MIS, SIUO, MOSSBENCH, STRONGREJECT, JAILBREAKBENCH, JAILBREAKBENCH_REFUSAL, XSTEST,
        XSTEST_IMAGE, OR_BENCH, DO_NOT_ANSWER, VLGUARD_WIN, MM_VET,
    )
}  # fmt: skip


def known_judges() -> dict[str, tuple[Facts, str]]:
    """{name: (facts, what to give after @)} of every judge that `make_judge` can make."""
    found = {name: (judge.facts, "") for name, judge in keyword_judges().items()}
    found |= {name: (kind.facts, f"weights, by default {kind.default}") for name, kind in KINDS.items()}
    found |= {name: (rubric.facts, "a model of Inspect, e.g. openai/gpt-4o") for name, rubric in RUBRICS.items()}
    found |= {
        name: (maker.facts, getattr(maker, "model", "see its package")) for name, maker in _installed(found).items()
    }
    return found


def _installed(taken: Mapping[str, Any]) -> dict[str, Any]:
    makers: dict[str, Any] = {}
    for point in entry_points(group=GROUP):
        maker = point.load()
        if not callable(maker) or not isinstance(getattr(maker, "facts", None), Facts):
            raise InputError(f"entry point {point.value} ({GROUP}): expected a callable with facts of a judge")
        if point.name in taken or point.name in makers:
            raise InputError(f"entry point {point.value} ({GROUP}): the judge name {point.name!r} is taken")
        makers[point.name] = maker
    return makers


def make_judge(name: str, **options: Any) -> Judge:
    """A judge ready to work. `options`: `timeout` (seconds) and `connections` of LLM judges, `template` (file) and
    `batch` of classifiers; each judge takes its own.

    Raises InputError for an unknown name (with the nearest one), a missing or unneeded model, or a model that cannot
    be loaded.
    """
    if (tries := tries_of(name)) is not None:
        rule, k, member = tries
        return Tries(make_judge(member.strip(), **options), rule, k)
    if name.startswith("panel:"):
        return Panel([make_judge(part.strip(), **options) for part in name.removeprefix("panel:").split(",")])
    plain, _, model = name.partition("@")
    plain = plain.partition(":")[0] if plain.partition(":")[2].startswith("v") else plain
    if plain not in known_judges():
        raise InputError.unknown("judge", name, [*known_judges(), "panel:A,B,C", "any5:A", "vote3:A"])
    if plain in RUBRICS:
        return RubricJudge(RUBRICS[plain], model or None, **_taken(options, "timeout", "connections"))
    if plain in KINDS:
        return ClassifierJudge(KINDS[plain], model or None, **_taken(options, "template", "batch"))
    if plain not in keyword_judges():
        made: Judge = _installed({})[plain](model or None)
        return made
    if model:
        raise InputError(f"{name}: a keyword judge has no model; write {plain}")
    judge: KeywordJudge = keyword_judges()[plain]
    return judge


def _taken(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if options.get(name) is not None}
