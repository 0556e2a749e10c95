"""What the solvers of an Inspect task ask the model, and what its scorer says of an answer, without running Inspect."""

import copy
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, Message, Role

from .._message import one_line
from ..scorers import Score

if TYPE_CHECKING:
    from inspect_ai.dataset import Sample as InspectSample
    from inspect_ai.model import ChatMessage
    from inspect_ai.solver import TaskState

ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


def asked(name: str, row: "InspectSample", solver: Any) -> Conversation:
    """The one conversation that the solvers put to the model. Raises InputError when there is not exactly one, and for
    tools and for content that is neither text nor image."""
    found: list[Conversation] = []

    async def record(state: "TaskState", **options: Any) -> "TaskState":
        if state.tools:
            raise elsewhere(name, "it gives the model tools")
        found.append(tuple(_message(each, name) for each in state.messages))
        return state

    _solved(name, row, solver, record)
    if len(found) != 1:
        raise elsewhere(name, f"it asks the model {len(found)} times for one answer")
    return found[0]


def judged(name: str, row: "InspectSample", solver: Any, scorer: Any, answer: str) -> Score:
    """What the scorer says once the solvers, run again, got this answer."""
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Target, value_to_float

    async def keep(state: "TaskState", **options: Any) -> "TaskState":
        state.output = ModelOutput.from_content("none", answer)
        state.messages.append(state.output.message)
        return state

    found = _now(name, scorer(_solved(name, row, solver, keep), Target(row.target)))
    value = value_to_float()(found.value)
    return Score(value) if value == value else Score(None, one_line(found.explanation or "unscored"))


def elsewhere(name: str, why: str) -> InputError:
    """The error for a task that only Inspect itself can run."""
    return InputError(f"{name}: {why}; run it with: inspect eval {name} --model counterpoise/MODEL")


def _solved(name: str, row: "InspectSample", solver: Any, generate: Any) -> "TaskState":
    from inspect_ai.model import ChatMessageUser, ModelName
    from inspect_ai.scorer import Target
    from inspect_ai.solver import TaskState

    talk = [ChatMessageUser(content=row.input)] if isinstance(row.input, str) else copy.deepcopy(row.input)
    state = TaskState(
        model=ModelName("none/none"), sample_id=row.id or 0, epoch=1, input=row.input, messages=list(talk),
        target=Target(row.target), choices=row.choices, metadata=copy.deepcopy(row.metadata or {}),
    )  # fmt: skip
    for each in solver if isinstance(solver, Sequence) else [solver]:
        state = _now(name, each(state, generate))
    return state


def _now(name: str, work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits; one that does wants more than an answer."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise elsewhere(name, "it waits for something besides the model under test")


def _message(message: "ChatMessage", name: str) -> Message:
    if message.role not in ROLES:
        raise elsewhere(name, f"its prompts hold a message of the role {message.role}")
    parts: list[str | Image] = []
    for part in [message.content] if isinstance(message.content, str) else message.content:
        if isinstance(part, str):
            parts.append(part)
        elif part.type == "text":
            parts.append(part.text)
        elif part.type == "image":
            inline = part.image.startswith("data:")
            parts.append(Image.from_data_uri(part.image, name) if inline else Image.from_path(part.image))
        else:
            raise elsewhere(name, f"its prompts hold {part.type}")
    return Message(ROLES[message.role], tuple(parts))
