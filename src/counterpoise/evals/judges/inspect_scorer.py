"""Any judge as an Inspect scorer, so that `inspect score LOG --scorer counterpoise/judge` re-judges a log."""

import asyncio
from functools import cache

from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState

from counterpoise.chat import Sample

from .._reply import from_output
from ._llm import RubricJudge
from ._protocol import Case, Judge, Judgement, judge_all


@scorer(metrics=[mean(), stderr()])
def judge(name: str) -> Scorer:
    """The judge `name` (see `counterpoise judge list`). An LLM judge without a model of its own takes the model role
    `judge` of the evaluation, never the model under test. What cannot be judged is unscored."""

    @cache
    def made() -> Judge:  # when the first sample is scored: roles are known only then
        from ._make import make_judge

        return make_judge(name)

    async def score(state: TaskState, target: Target) -> Score:
        case = case_of(state)
        found = await _one(made(), case)
        if found.score is None:
            return Score.unscored(explanation=f"{found.reason}: {found.rationale}")
        more = {"label": found.label, "judge": found.judge, "p": found.p}
        return Score(value=found.score, answer=case.answer, explanation=found.rationale, metadata=more)

    return score


async def _one(judge: Judge, case: Case) -> Judgement:
    if isinstance(judge, RubricJudge):  # on this event loop, which its model's client belongs to
        return await judge.one(case)
    return (await asyncio.to_thread(judge_all, judge, [case]))[0]


def case_of(state: TaskState) -> Case:
    """Conversation, side, group and facts of an Inspect sample; they come from its metadata and its target."""
    from inspect_ai.model import ChatMessage, ChatMessageUser

    from counterpoise.models import to_conversation

    text = isinstance(state.input, str)
    given: list[ChatMessage] = [ChatMessageUser(content=state.input)] if text else list(state.input)  # type: ignore[arg-type]
    harmful = state.metadata.get("harmful")
    sample = Sample(
        str(state.sample_id),
        to_conversation(given),
        harmful=harmful if isinstance(harmful, bool) else None,
        group=str(state.metadata.get("group") or ""),
        target=state.target.text or None,
        meta=facts if isinstance(facts := state.metadata.get("facts"), dict) else {},
    )
    return Case(sample, from_output(state.output))
