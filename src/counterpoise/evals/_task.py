"""Benchmarks as Inspect tasks: our samples as theirs, our scorers as theirs, answers through a journal."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.scorer import Score, Target, mean, scorer, stderr
from inspect_ai.scorer import Scorer as InspectScorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from counterpoise.base import Progress
from counterpoise.chat import Conversation, Image, Message, Sample
from counterpoise.models import Decoding

from ._benchmark import Benchmark
from ._journal import Journal
from ._pipeline import Said
from .scorers import get

if TYPE_CHECKING:
    from counterpoise.models import Engine

_ROLES: dict[str, Any] = {"user": ChatMessageUser, "assistant": ChatMessageAssistant, "system": ChatMessageSystem}


def task(bench: Benchmark, samples: Sequence[Sample], journal: Journal | None = None, progress: Any = None) -> Task:
    """One benchmark as an Inspect task. With a journal, answers in it are not generated again."""
    by_id = {sample.id: sample for sample in samples}
    return Task(
        name=bench.name,
        dataset=MemoryDataset([inspect_sample(sample) for sample in samples], name=bench.name),
        solver=answer(bench, by_id, journal, progress),
        scorer=[scored(by_id, name) for name in bench.scorers],
        config=GenerateConfig(max_tokens=bench.max_new_tokens),
        version=bench.revision,
        metadata={"source": bench.source, "licence": bench.licence},
    )


def inspect_sample(sample: Sample) -> InspectSample:
    """Parts in the order in which the model sees them; what statistics need goes into the metadata."""
    return InspectSample(
        id=sample.id,
        input=[_message(message) for message in sample.messages],
        target=sample.target or "",
        choices=list(sample.choices) or None,
        metadata={
            "harmful": sample.harmful,
            "modality": sample.modality,
            "cluster": sample.cluster or sample.id,
            "group": sample.group,
            "images": [image.sha256 for message in sample.messages for image in message.images],
        },
    )


def _message(message: Message) -> ChatMessage:
    content: str | list[Any] = message.text
    if message.images:
        content = [_part(part) for part in message.parts]
    made: ChatMessage = _ROLES[message.role](content=content)
    return made


def _part(part: str | Image) -> ContentText | ContentImage:
    """A file is read by Inspect when its sample starts, so that a long dataset stays small."""
    if isinstance(part, str):
        return ContentText(text=part)
    return ContentImage(image=part.data_uri() if part.path is None else str(part.path.resolve()))


def answer(bench: Benchmark, samples: dict[str, Sample], journal: Journal | None, progress: Progress | None) -> Solver:
    """Take the answer from the journal, else generate it and put it there. Options are compared by probability
    where the model is local, because a letter in a generated text is the weaker measurement. With a journal, a local
    engine is asked directly rather than through the provider: the request is the same, and 2 ms cheaper. Of a pipeline
    only the last answer is kept: killed in between, an item repeats its calls."""

    @solver(name="answer")
    def made() -> Solver:  # without arguments, because Inspect writes a solver's arguments into the log
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            sample = samples[str(state.sample_id)]
            how = decoding(bench, sample)
            key = journal.key(sample, bench.settings(sample)) if journal else ""
            kept = journal.get(key) if journal else None
            if kept is not None:
                _reply(state, kept["answer"], kept["finish"])
            elif bench.pipeline is not None:
                said = await bench.pipeline(sample, lambda messages: _ask(messages, how))
                _reply(state, said.text, said.finish)
            elif (chosen := await _by_probability(sample)) is not None:
                _reply(state, chosen, "stop")
            elif journal and (engine := _engine()) is not None:
                found = await asyncio.wrap_future(engine.submit(sample.messages, how))
                _reply(state, found.text, found.finish, found.n_prompt, found.n_new)
            else:
                state = await generate(state, temperature=how.temperature, top_p=_nucleus(how), seed=how.seed)
            if journal and kept is None:
                finish = "length" if state.output.stop_reason == "max_tokens" else state.output.stop_reason
                drawn = {} if how.seed is None else {"seed": how.seed}
                journal.put(key, state.output.completion, finish, **drawn)
            if progress is not None:
                progress.advance()
            return state

        return solve

    return made()


def decoding(bench: Benchmark, sample: Sample) -> Decoding:
    """How the answer to a sample is generated: greedy, or drawn with its own seed."""
    drawn = bench.sampling
    if drawn is None:
        return Decoding(bench.max_new_tokens)
    return Decoding(bench.max_new_tokens, drawn.temperature, drawn.top_p, int(sample.meta["seed"]))


def _nucleus(how: Decoding) -> float | None:
    """Some servers refuse a top-p that changes nothing beside a temperature."""
    return None if how.top_p == 1.0 else how.top_p


async def _ask(messages: Conversation, how: Decoding) -> Said:
    if (engine := _engine()) is not None:
        found = await asyncio.wrap_future(engine.submit(messages, how))
        return Said(found.text, found.finish)
    config = GenerateConfig(
        max_tokens=how.max_new_tokens, temperature=how.temperature, top_p=_nucleus(how), seed=how.seed
    )
    output = await get_model().generate([_message(message) for message in messages], config=config)
    return Said(output.completion, "length" if output.stop_reason == "max_tokens" else output.stop_reason)


def _reply(state: TaskState, text: str, finish: str, n_prompt: int = 0, n_new: int = 0) -> None:
    state.output = ModelOutput.from_content(str(state.model), text, "max_tokens" if finish == "length" else "stop")
    state.output.usage = ModelUsage(input_tokens=n_prompt, output_tokens=n_new, total_tokens=n_prompt + n_new)
    state.messages.append(state.output.message)


def _engine() -> "Engine | None":
    """The engine behind the model under test; None for a model of Inspect's other providers."""
    found: Engine | None = getattr(get_model().api, "engine", None)
    return found


async def _by_probability(sample: Sample) -> str | None:
    engine = _engine()
    if not sample.choices or engine is None:
        return None
    scores = (await asyncio.to_thread(engine.score_options, [sample.messages], [sample.choices]))[0]
    return sample.choices[max(range(len(scores)), key=scores.__getitem__)]


def scored(samples: dict[str, Sample], name: str) -> InspectScorer:
    """One of our scorers under its own id; what it cannot judge is unscored, never 0."""
    rule = get(name)

    @scorer(metrics=[mean(), stderr()], name=rule.id)
    def made() -> InspectScorer:
        async def score(state: TaskState, target: Target) -> Score:
            found = rule(samples[str(state.sample_id)], state.output.completion)
            if found.value is None:
                return Score.unscored(explanation=found.reason or "unscored")
            return Score(value=found.value, answer=state.output.completion, explanation=found.label or None)

        return score

    return made()
