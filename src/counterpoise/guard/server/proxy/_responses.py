"""`POST /v1/responses` through the proxy: the same checks on another protocol.

What is blocked looks like this. Input: as in chat completions. Output: a response without output whose status is
`incomplete`, for the reason `content_filter`; a stream ends with an event that says the same.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, ClassVar

from .._errors import ApiError
from ._answer import Answer
from ._events import BROKEN, Chunk
from ._passing import Found, frame, value_parts
from ._stream import Gate, Unit

LAST = ("response.completed", "response.incomplete", "response.failed")
FIRST = ("response.created", "response.queued", "response.in_progress")
GROWS = {
    "response.output_text.delta": "text", "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning", "response.reasoning_summary_text.delta": "summary",
    "response.function_call_arguments.delta": "arguments", "response.custom_tool_call_input.delta": "input",
}  # fmt: skip
"""Events with a piece of a text -> what it is a piece of."""
REPEATS = frozenset({
    *(name.replace(".delta", ".done") for name in GROWS), "response.output_item.added", "response.output_item.done",
    "response.content_part.added", "response.content_part.done", "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done", "response.output_text.annotation.added", "response.reasoning_part.added",
    "response.reasoning_part.done",
})  # fmt: skip
"""Events that say a text again as a whole, or a thing that holds it."""


class ResponsesAnswer(Answer):
    """One response: both checks and the call between them."""

    path: ClassVar[str] = "/responses"
    named: ClassVar[bool] = True

    async def _whole(self, value: dict[str, Any]) -> dict[str, Any]:
        output = value.get("output")
        if not isinstance(output, list):
            raise ApiError(502, "upstream_invalid", "the upstream's answer has no output")
        output = _quiet(output)
        gate = Gate[Any]("buffer", self._passes)
        await gate.add(Unit(output, *value_parts(output)))
        self._fits(gate.length)
        shell = frame(value, self.asked.body)
        passed = await gate.end()
        made = {**shell, "output": passed[0]} if passed else filtered(shell)
        return {**made, "x_guard": self._about()}

    def _ends(self, event: Chunk) -> bool:
        return event.get("type") in LAST

    async def _guarded(self, events: AsyncIterator[Chunk | None]) -> AsyncIterator[Chunk]:
        """Events as the gate lets them go. Raises ApiError when the stream is cut off or wrong, or the answer is too
        long; what was held then never leaves."""
        gate, said = self._gate(), _Said()
        shell: Chunk = frame({}, self.asked.body)
        number, begun, ended = -1, False, False
        async for event in events:
            if event is None:
                break
            kind = event.get("type")
            if not isinstance(kind, str):
                raise ApiError(502, "upstream_invalid", "an event of the upstream's answer has no type")
            if isinstance(event.get("response"), Mapping):
                shell = frame(event["response"], self.asked.body)
            ended = ended or kind in LAST
            for chunk in await gate.add(said.unit(event, kind, shell)):
                number, begun = chunk.get("sequence_number", number), True
                yield chunk
            self._fits(gate.length)
            if gate.blocked:
                break
        if not ended and not gate.blocked:
            raise ApiError(502, "upstream_broken", BROKEN)
        for chunk in await gate.end():
            number, begun = chunk.get("sequence_number", number), True
            yield chunk
        if gate.blocked:
            for chunk in _withheld(shell, number, begun=begun):
                yield chunk


class _Said:
    """What a stream has said so far, so that what it says again as a whole is not counted twice."""

    def __init__(self) -> None:
        self._growing: dict[str, list[str]] = {}
        self._whole: set[str] = set()

    def unit(self, event: Chunk, kind: str, shell: Chunk) -> Unit[Chunk]:
        """What of an event leaves, and what of it has to be looked at."""
        place = ".".join(str(event.get(name, "")) for name in ("output_index", "content_index", "summary_index"))
        if kind in GROWS:
            delta = event.get("delta")
            if not isinstance(delta, str):
                raise ApiError(502, "upstream_invalid", "a piece of the upstream's answer is no text")
            channel = f"{place}.{GROWS[kind]}"
            self._growing.setdefault(channel, []).append(delta)
            return Unit(_event(event, kind, {"delta": delta}), ((channel, delta),))
        if kind in FIRST:
            return Unit(_event(event, kind, {"response": {**shell, "output": []}}))
        if kind in LAST:
            output = _quiet(event["response"].get("output", ())) if isinstance(event.get("response"), Mapping) else []
            return self._again(_event(event, kind, {"response": {**shell, "output": output}}), output, place)
        holds = ("item", "part", "text", "refusal", "arguments", "input", "annotation", "name")
        rest = {name: _quiet(event[name]) for name in holds if name in event}
        if kind in REPEATS:
            return self._again(_event(event, kind, rest), rest, place)
        return Unit(_event(event, "response.unknown", {}), (), (kind[:40] if kind.isprintable() else "unnamed",))

    def _again(self, made: Chunk, value: Any, place: str) -> Unit[Chunk]:
        found: Found = value_parts(value)
        known = self._whole | {"".join(pieces) for pieces in self._growing.values()}
        new = tuple((f"{place}{where}", text) for where, text in found.texts if text not in known)
        self._whole |= {text for _, text in new}
        return Unit(made, new, found.others)


def _event(event: Chunk, kind: str, more: Chunk) -> Chunk:
    """An event in its own fields: where it belongs, and what it holds."""
    places = ("sequence_number", "output_index", "content_index", "summary_index", "annotation_index")
    made: Chunk = {"type": kind, **{name: event[name] for name in places if type(event.get(name)) is int}}
    if isinstance(own := event.get("item_id"), str) and len(own) <= 64 and own.replace("_", "").isalnum():
        made["item_id"] = own
    return made | ({"logprobs": []} if "text" in kind and "logprobs" in event else {}) | more


def _quiet(value: Any) -> Any:
    """Without log-probabilities, whose tokens nobody has checked."""
    if isinstance(value, Mapping):
        return {name: [] if name == "logprobs" and inner else _quiet(inner) for name, inner in value.items()}
    return [_quiet(inner) for inner in value] if isinstance(value, list | tuple) else value


def filtered(shell: Mapping[str, Any]) -> Chunk:
    """A response that was blocked."""
    ended = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}
    return {**shell, **ended}


def _withheld(shell: Chunk, number: int, *, begun: bool) -> Iterable[Chunk]:
    """The end of a stream that was blocked; clients want a beginning before it."""
    if not begun:
        number += 1
        created = {**shell, "status": "in_progress", "output": []}
        yield {"type": "response.created", "sequence_number": number, "response": created}
    yield {"type": "response.incomplete", "sequence_number": number + 1, "response": filtered(shell)}
