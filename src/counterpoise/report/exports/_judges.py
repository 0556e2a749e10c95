"""What Every Eval Ever wants to know of a model that judged: `llm_scoring`, made from a scorer's id."""

import re
from typing import NamedTuple

from ._evaluation import slug
from ._schema import JudgeConfig, JudgeInfo, LlmScoring

_JUDGE = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*):v\d+(?:\+[0-9a-f]{8})?@(?P<model>[^,()\[\]]+)")
PARTS = r"[/\\]"
_PUBLIC = re.compile(r"^[\w.-]+(/[\w.-]+)+$")


class _Named(NamedTuple):
    id: str
    name: str
    model: str


def llm_scoring(scorer: str) -> LlmScoring | None:
    """The models behind a scorer, with the prompt they were given; None when no model judged (keywords, letters).

    A rubric's prompt is its text as long as this version of the package still has it, which the hash in the id says;
    otherwise, and for classifiers, it is the id of the template.
    """
    found = [_Named(each[0], each["name"], each["model"]) for each in _JUDGE.finditer(scorer)]
    if not found:
        return None
    panel = scorer.startswith("panel(")
    keywords = len(scorer.removeprefix("panel(").split(",")) - len(found) if panel else 0
    return LlmScoring(
        judges=[_judge(each) for each in found],
        input_prompt="\n\n".join(dict.fromkeys(_prompt(each) for each in found)),
        aggregation_method="majority_vote" if panel else None,
        additional_details={"members_without_model": str(keywords)} if keywords else {},
    )


def _judge(judge: _Named) -> JudgeConfig:
    from counterpoise.evals.judges import KINDS, RUBRICS

    own, model = judge.name in KINDS, judge.model.partition("~")[0]  # a classifier's id ends with its fingerprint
    if own and KINDS[judge.name].default.endswith(f"/{model}"):
        model = KINDS[judge.name].default
    details = {
        "deployment_type": "self_deployed" if own else "unknown",
        "model_availability": "open_weights" if own else "unknown",
    }
    public = _PUBLIC.match(model) and ".." not in model
    identity = model if public else f"local/{slug(re.split(PARTS, model.rstrip('/'))[-1])}"
    return JudgeConfig(
        model_info=JudgeInfo(name=identity.split("/")[-1], id=identity, additional_details=details),
        temperature=0.0 if judge.name in RUBRICS else None,
        additional_details={"judge": judge.id.partition("@")[0]},
    )


def _prompt(judge: _Named) -> str:
    from counterpoise.evals.judges import RUBRICS, judge_id

    rubric = RUBRICS.get(judge.name)
    if rubric and judge_id(rubric.facts, f"{rubric.system}\n{rubric.text}", judge.model) == judge.id:
        return f"{rubric.system}\n{rubric.text}".strip()
    return f"template {judge.id.partition('@')[0]}"
