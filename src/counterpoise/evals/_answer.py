"""The solver of every benchmark: an answer from the journal, else from the model, and then into the journal."""

import asyncio
from typing import TYPE_CHECKING

from inspect_ai.model import (
    ChatMessageAssistant,
    Content,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelOutput,
    ModelUsage,
    StopReason,
    get_model,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver

from counterpoise.base import InputError, Progress
from counterpoise.chat import Conversation, Sample
from counterpoise.models import Answer, Decoding

from ._benchmark import Benchmark
from ._journal import Journal
from ._reply import chosen, from_output, generated, in_parts
from .inspect import inspect_message

if TYPE_CHECKING:
    from counterpoise.models import Engine

_STOP: dict[str, StopReason] = {"stop": "stop", "length": "max_tokens", "filtered": "content_filter"}


def answer(bench: Benchmark, samples: dict[str, Sample], journal: Journal | None, progress: Progress | None) -> Solver:
    """Take the answer from the journal, else generate it and put it there. Options are compared by probability
    where the model is local, because a letter in a generated text is the weaker measurement. With a journal, a local
    engine is asked directly rather than through the provider: the request is the same, and 2 ms cheaper. Of a pipeline
    only the last answer is kept: killed in between, an item repeats its calls. What is wrong with one row is said with
    the row's id."""

    @solver(name="answer")
    def made() -> Solver:  # without arguments, because Inspect writes a solver's arguments into the log
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            sample = samples[str(state.sample_id)]
            how = decoding(bench, sample)
            key = journal.key(sample, bench.settings(sample)) if journal else ""
            kept = journal.reply(key) if journal else None
            if kept is not None:
                _reply(state, kept)
            else:
                try:
                    state, found = await _answered(bench, sample, how, state, generate, direct=journal is not None)
                except InputError as error:
                    if type(error) is not InputError:  # of the whole batch
                        raise
                    raise InputError(f"row {sample.id}: {error}") from error
                if journal:
                    drawn = {} if how.seed is None else {"seed": how.seed}
                    journal.put_reply(key, in_parts(found), **drawn)
            if progress is not None:
                progress.advance()
            return state

        return solve

    return made()


async def _answered(
    bench: Benchmark, sample: Sample, how: Decoding, state: TaskState, generate: Generate, *, direct: bool
) -> tuple[TaskState, Answer]:
    """The model's reply to a sample, and Inspect's state with it."""
    found: Answer | None = None
    if bench.pipeline is not None:
        found = await bench.pipeline(sample, lambda messages: _ask(messages, how))
    elif (option := await _by_probability(sample)) is not None:
        found = option
    elif direct and (engine := _engine()) is not None:
        found = generated(await asyncio.wrap_future(engine.submit(sample.messages, how)))
    if found is not None:
        _reply(state, found)
        return state, found
    state = await generate(state, temperature=how.temperature, top_p=_nucleus(how), seed=how.seed)
    return state, from_output(state.output)


def decoding(bench: Benchmark, sample: Sample) -> Decoding:
    """How the answer to a sample is generated: greedy, or drawn with its own seed."""
    drawn = bench.sampling
    if drawn is None:
        return Decoding(bench.max_new_tokens)
    return Decoding(bench.max_new_tokens, drawn.temperature, drawn.top_p, int(sample.meta["seed"]))


def _nucleus(how: Decoding) -> float | None:
    """Some servers refuse a top-p that changes nothing beside a temperature."""
    return None if how.top_p == 1.0 else how.top_p


async def _ask(messages: Conversation, how: Decoding) -> Answer:
    if (engine := _engine()) is not None:
        return generated(await asyncio.wrap_future(engine.submit(messages, how)))
    config = GenerateConfig(
        max_tokens=how.max_new_tokens, temperature=how.temperature, top_p=_nucleus(how), seed=how.seed
    )
    return from_output(await get_model().generate([inspect_message(message) for message in messages], config=config))


def _reply(state: TaskState, reply: Answer) -> None:
    """The reply as Inspect's: its thought is a part of its own, and a log shows it as one."""
    stop = _STOP[reply.finish]
    content: str | list[Content] = reply.text
    if reply.reasoning:
        content = [ContentReasoning(reasoning=reply.reasoning), ContentText(text=reply.text)]
    message = ChatMessageAssistant(content=content, model=str(state.model), source="generate")
    state.output = ModelOutput.from_message(message, stop)
    total = reply.n_prompt + reply.n_new
    state.output.usage = ModelUsage(input_tokens=reply.n_prompt, output_tokens=reply.n_new, total_tokens=total)
    state.messages.append(state.output.message)


def _engine() -> "Engine | None":
    """The engine behind the model under test; None for a model of Inspect's other providers."""
    found: Engine | None = getattr(get_model().api, "engine", None)
    return found


async def _by_probability(sample: Sample) -> Answer | None:
    engine = _engine()
    if not sample.choices or engine is None:
        return None
    scores = (await asyncio.to_thread(engine.score_options, [sample.messages], [sample.choices]))[0]
    return chosen(sample, scores)
