"""LLM judges: a rubric put to a model of Inspect, which plays the role `judge`."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample

from .._message import one_line
from .._reply import PROBLEMS, from_output
from ..scorers._opening import refuses
from ..scorers._text import normalise, sentences
from ._protocol import Case, Done, Judgement, Unjudgeable, judge_id, unready, unscored
from ._rubric import OffFormat, Rubric, settled

if TYPE_CHECKING:
    from inspect_ai.model import Model, ModelOutput

ROLE = "judge"
LONGEST = 40_000
"""Characters of a prompt; a longer one is unscored rather than cut, since the harm may stand in the cut part."""
RETRIES = 5


class RubricJudge:
    """Asks `model` about each case; without one, the model that the evaluation gives the role `judge`.

    It asks in the authors' words where their published text is in the data folder, else in ours, and says so. A reply
    off the format, a refusal, a timeout and a failed call leave the case unscored with that reason. Raises InputError
    when there is no such model, no key for it, or every call fails.
    """

    def __init__(
        self, rubric: Rubric, model: "str | Model | None" = None, *, timeout: float = 120.0, connections: int = 16
    ):
        self.timeout, self.connections = timeout, connections
        self.model = _model(model, rubric.facts.name)
        self.rubric, proven = settled(rubric)
        self.facts = self.rubric.facts.proven(str(self.model), wording=proven)
        self.id = judge_id(self.facts, f"{self.rubric.system}\n{self.rubric.text}", str(self.model))

    def judge(self, cases: Sequence[Case], done: Done) -> None:
        """Up to `connections` calls at a time; each verdict is reported when its reply is there."""
        asyncio.run(self._all(cases, done))

    async def _all(self, cases: Sequence[Case], done: Done) -> None:
        gate = asyncio.Semaphore(self.connections)
        failures: list[str] = []

        async def run(place: int, case: Case) -> None:
            async with gate:
                found = await self.one(case)
            if found.reason == "api_error":
                failures.append(found.rationale)
            done(place, found)

        await asyncio.gather(*(run(place, case) for place, case in enumerate(cases)))
        if failures and len(failures) == len(cases):
            raise InputError(f"{self.id}: every call failed; the first: {failures[0]}")

    async def one(self, case: Case) -> Judgement:
        """The verdict on one case."""
        if (reason := unready(self.facts, case)) is not None:
            return unscored(self.id, reason)
        images = _images(case.sample) if self.rubric.images != "no" else []
        if self.rubric.images == "needed" and not images:
            return unscored(self.id, "image_missing", "the rubric needs the images, and the case has none")
        try:
            prompts = self.rubric.prompts(case)
        except Unjudgeable as error:
            return unscored(self.id, error.reason, str(error))
        if (longest := max(map(len, prompts))) > LONGEST:
            return unscored(self.id, "too_long", f"{longest:,} characters; at most {LONGEST:,} are judged")
        outputs = []
        for prompt in prompts:
            output = await self._output(prompt, images)
            if isinstance(output, Judgement):
                return output
            outputs.append(output)
        return self.read(outputs, case)

    async def _output(self, prompt: str, images: Sequence[Image]) -> "ModelOutput | Judgement":
        """What the model says, or why the case is unscored."""
        try:
            return await asyncio.wait_for(self._ask(prompt, images), self.timeout)
        except TimeoutError:
            return unscored(self.id, "timeout", f"no reply within {self.timeout:g} s")
        except InputError:
            raise  # an image that cannot be read: the user's to mend
        except Exception as error:  # every provider has its own; one dead call must not end the others
            return unscored(self.id, "api_error", f"{type(error).__name__}: {' '.join(str(error).split())}")

    def read(self, outputs: "Sequence[ModelOutput]", case: Case) -> Judgement:
        """The judge's own replies as a verdict: their text, whatever it thought before."""
        texts = []
        for output in outputs:
            reply = from_output(output)
            if output.error:
                return unscored(self.id, "api_error", output.error)
            if reply.problem == "content_filter":
                return unscored(self.id, "judge_refused", "stopped by a content filter", reply.text)
            if reply.problem == "unfinished_thought":
                return unscored(self.id, "judge_unfinished", PROBLEMS["unfinished_thought"], reply.reasoning)
            texts.append(reply.text)
        raw = "\n---\n".join(texts)
        try:
            label, score, why = self.rubric.read(texts, case)
        except OffFormat as error:
            refused = any(refuses(each) for text in texts for each in sentences(normalise(text), 2))
            return unscored(self.id, "judge_refused" if refused else "parse_failed", str(error), raw)
        return Judgement(self.id, label, score, "" if score is not None else "no_side", None, why, raw[:2000])

    async def _ask(self, prompt: str, images: Sequence[Image]) -> "ModelOutput":
        from inspect_ai.model import (
            ChatMessage,
            ChatMessageSystem,
            ChatMessageUser,
            ContentImage,
            ContentText,
            GenerateConfig,
        )

        shown: list[Any] = [ContentImage(image=image.data_uri(), detail=self.rubric.detail) for image in images]
        asked: list[Any] = [ContentText(text=prompt)]
        content = asked + shown if self.rubric.images_last else shown + asked
        messages: list[ChatMessage] = [ChatMessageUser(content=content if images else prompt)]
        if self.rubric.system:
            messages.insert(0, ChatMessageSystem(content=self.rubric.system))
        config = GenerateConfig(
            temperature=0.0,
            max_tokens=self.rubric.max_tokens,
            max_retries=RETRIES,
            max_connections=self.connections,
            timeout=int(self.timeout) + 1,
        )
        return await self.model.generate(messages, config=config)


def _model(model: "str | Model | None", name: str) -> "Model":
    from inspect_ai._util.error import PrerequisiteError
    from inspect_ai.model import get_model

    try:
        return get_model(role=ROLE, default=model, required=True)
    except (PrerequisiteError, ValueError) as error:
        if model is None:
            raise InputError(
                f"{name}: needs a model; write {name}@PROVIDER/MODEL, such as {name}@openai/gpt-4o "
                f"(under inspect eval: --model-role {ROLE}=PROVIDER/MODEL)"
            ) from error
        raise InputError(f"{name}: {one_line(str(error)).removeprefix('ERROR: ')}") from error


def _images(sample: Sample) -> list[Image]:
    return [image for message in sample.messages for image in message.images]
