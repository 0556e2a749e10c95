"""The solver of every benchmark: an answer from the journal, else from the model, and then into the journal."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
from inspect_ai.model._generate_config import active_generate_config
from inspect_ai.solver import Generate, Solver, TaskState, solver

from counterpoise.base import InputError, Progress
from counterpoise.chat import Conversation, Sample
from counterpoise.models import Answer, Decoding, EngineError

from ._benchmark import Benchmark
from ._journal import Journal
from ._reply import chosen, from_output, generated, in_parts
from .inspect import inspect_message

if TYPE_CHECKING:
    from counterpoise.models import Engine

_STOP: dict[str, StopReason] = {"stop": "stop", "length": "max_tokens", "filtered": "content_filter"}


def answer(
    bench: Benchmark,
    samples: dict[str, Sample],
    journal: Journal | None,
    progress: Progress | None,
    server: Callable[[], str | None] = lambda: None,
) -> Solver:
    """Take the answer from the journal, else generate it and put it there, beside a remote model's own name and its
    `server`. Options are compared by probability where the model is local, because a letter in a generated text is the
    weaker measurement. With a journal, a local engine is asked directly rather than through the provider: the request
    is the same, and 2 ms cheaper. Of a pipeline only the last answer is kept: killed in between, an item repeats its
    calls. What is wrong with one row is said with the row's id.

    Without a journal it is Inspect's evaluation: temperature, top-p, tokens and seed are those that it was given, the
    card's where it was given none, and nothing is compared by probability that is to be drawn.
    """

    @solver(name="answer")
    def made() -> Solver:  # without arguments, because Inspect writes a solver's arguments into the log
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            sample = samples[str(state.sample_id)]
            how = decoding(bench, sample)
            ask = _Ask(how if journal else None, _seed(bench, sample, state.epoch))
            key = journal.key(sample, bench.settings(sample)) if journal else ""
            kept = journal.reply(key) if journal else None
            if kept is not None:
                _reply(state, kept)
            else:
                try:
                    state, found = await _answered(bench, sample, ask, state, generate)
                except InputError as error:
                    if isinstance(error, EngineError):  # of the whole batch
                        raise
                    raise InputError(f"row {sample.id}: {error}") from error
                if journal:
                    more = {"seed": how.seed, "served": ask.served, "server": server() if ask.served else None}
                    journal.put_reply(
                        key, in_parts(found), **{name: one for name, one in more.items() if one is not None}
                    )
            if progress is not None:
                progress.advance()
            return state

        return solve

    return made()


async def _answered(
    bench: Benchmark, sample: Sample, ask: "_Ask", state: TaskState, generate: Generate
) -> tuple[TaskState, Answer]:
    """The model's reply to a sample, and Inspect's state with it."""
    found: Answer | None = None
    if bench.pipeline is not None:
        found = await bench.pipeline(sample, ask)
    elif (option := await _by_probability(sample, ask)) is not None:
        found = option
    elif ask.how is not None and _engine() is not None:
        found = await ask(sample.messages)
    if found is not None:
        _reply(state, found)
        return state, found
    options = {name: value for name, value in ask.options.items() if value is not None}
    state = await generate(state, **options)
    ask.served = state.output.model if _engine() is None else None
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


def _seed(bench: Benchmark, sample: Sample, epoch: int) -> int | None:
    """Of a drawn answer: the card's or the evaluation's, another one in each epoch, since a local model gives the same
    answer to the same question and seed."""
    if bench.sampling is not None:
        return int(sample.meta["seed"]) + (epoch - 1) * bench.sampling.n
    given = active_generate_config().seed
    return None if given is None else given + epoch - 1


class _Ask:
    """Puts a conversation to the model under test: to a local engine itself when it is known `how`, else through
    Inspect, with the settings of its evaluation."""

    def __init__(self, how: Decoding | None, seed: int | None) -> None:
        self.how, self.seed = how, seed
        self.served: str | None = None
        """What a remote server called the model that answered."""

    @property
    def options(self) -> dict[str, Any]:
        """What this question has settings of its own for."""
        if self.how is None:
            return {"seed": self.seed}
        how = self.how
        return {"temperature": how.temperature, "top_p": _nucleus(how), "seed": how.seed}

    async def __call__(self, messages: Conversation) -> Answer:
        if self.how is not None and (engine := _engine()) is not None:
            return generated(await asyncio.wrap_future(engine.submit(messages, self.how)))
        given = [inspect_message(message) for message in messages]
        output = await get_model().generate(given, config=GenerateConfig(**self.options))
        self.served = output.model if _engine() is None else None
        return from_output(output)


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


async def _by_probability(sample: Sample, ask: _Ask) -> Answer | None:
    """The most probable option; None where there are none, the model is remote, or the evaluation wants draws."""
    engine = _engine()
    if not sample.choices or engine is None or (ask.how is None and active_generate_config().temperature):
        return None
    scores = (await asyncio.to_thread(engine.score_options, [sample.messages], [sample.choices]))[0]
    return chosen(sample, scores)
