"""One chat completion through the proxy: both checks and the call between them.

What is blocked looks like this. Input: status 400, code `content_blocked`, and `x_guard` with the reasons; the model is
not asked. Output: the choice has no content and finish_reason `content_filter`.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any, ClassVar

from fastapi.responses import JSONResponse, Response

from ..._values import Exchange
from .._access import ASKER, asker
from .._checker import Checker
from .._decision import Decision
from .._errors import ApiError
from ..intake import clean
from ._events import Chunk, EventStream, guarded
from ._passing import choice_parts, envelope, inline, plain_logprobs
from ._requests import Asked
from ._stream import Gate, Unit
from ._upstream import UpstreamClient


class Answer:
    """One request: both checks and the call between them."""

    path: ClassVar[str] = "/chat/completions"
    named: ClassVar[bool] = False
    """Events have names, and no mark of the end."""

    def __init__(self, client: UpstreamClient, checker: Checker, asked: Asked, longest: int):
        """`longest`: most characters of an answer that are looked at."""
        self.client, self.checker, self.asked, self.longest = client, checker, asked, longest
        self.found = asked.intake
        self.decisions: dict[str, list[Decision]] = {"input": [], "output": []}
        """So far, by side."""

    async def make(self, headers: Mapping[str, str]) -> Response:
        """The answer. Raises ApiError for what comes before the first byte of it."""
        if refusal := await self._input():
            return refusal
        if not self.asked.stream:
            value = await self.client.answer(self.path, self.asked.body, headers)
            # in ASCII: models also write halves of characters
            return Response(json.dumps(await self._whole(value)), media_type="application/json")
        chunks = self._chunks(headers)
        try:
            first = await anext(chunks, None)  # so that an error that comes first is an answer with its own status
        except BaseException:
            await chunks.aclose()
            raise
        return EventStream(first, chunks, named=self.named)

    async def _input(self) -> Response | None:
        """The refusal of a blocked request. A prefilled answer is judged as an answer, and the request without it."""
        for one in [self.found.asked, self.found] if self.found.exchange.answer is not None else [self.found]:
            decision = await self.checker.decide(one)
            self.decisions["input"].append(decision)
            if decision.blocked:
                error = ApiError(400, "content_blocked", f"the request was blocked by policy {decision.policy}")
                return JSONResponse({**error.body, "x_guard": summary(decision)}, error.status)
        return None

    async def _decide(self, text: str, others: tuple[str, ...]) -> Decision:
        """About an answer, or what there is of it so far."""
        ASKER.set(replace(asker(), spent=0.0))  # an answer is not what the client has sent
        before = self.found.exchange.answer or ""
        exchange = Exchange(self.found.exchange.conversation, before + clean(text) or None)
        unseen = tuple(dict.fromkeys((*self.found.uninspected, *others, *inline(text))))
        places = replace(self.found.places, answer=None)
        decision = await self.checker.decide(replace(self.found, exchange=exchange, uninspected=unseen, places=places))
        self.decisions["output"].append(decision)
        return decision

    async def _whole(self, value: dict[str, Any]) -> dict[str, Any]:
        """What of a whole answer leaves."""
        choices = value.get("choices")
        if not isinstance(choices, list) or not all(isinstance(c, dict) and "message" in c for c in choices):
            raise ApiError(502, "upstream_invalid", "the upstream's answer has no choices")
        passed: list[Any] = []
        for choice in choices:
            gate = Gate[Any]("buffer", self._passes)
            await gate.add(Unit(plain_logprobs(choice), *choice_parts(choice)))
            self._fits(gate.length)
            passed += await gate.end() or [_empty(choice)]
        return {**envelope(value), "choices": passed, "x_guard": self._about()}

    def _fits(self, length: int) -> None:
        if length > self.longest:
            raise ApiError(502, "upstream_too_large", f"an answer has more than {self.longest:,} characters")

    def _about(self) -> list[dict[str, Any]]:
        return [summary(one) for one in self.decisions["output"]]

    async def _chunks(self, headers: Mapping[str, str]) -> AsyncGenerator[Chunk, None]:
        events = self.client.events(self.path, self.asked.body, headers, self._ends)
        async with aclosing(events):
            async for chunk in self._guarded(events):
                yield chunk

    def _ends(self, event: Chunk) -> bool:
        """Whether this event is the last one; a chat completion ends with a mark instead."""
        return False

    def _guarded(self, events: AsyncIterator[Chunk | None]) -> AsyncIterator[Chunk]:
        return guarded(events, self._gate, self.asked.body.get("n") or 1, self.longest)

    def _gate(self) -> Gate[Chunk]:
        own = self.client.settings
        return Gate(own.stream, self._passes, own.window)

    async def _passes(self, text: str, others: tuple[str, ...]) -> bool:
        """What the gate of a choice asks."""
        return not (await self._decide(text, others)).blocked


def _empty(choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice that was blocked."""
    message = {"role": "assistant", "content": "", "refusal": None}
    return {"index": choice.get("index", 0), "message": message, "finish_reason": "content_filter", "logprobs": None}


def summary(decision: Decision) -> dict[str, Any]:
    """What a client may know about a decision: no rationale, which may quote."""
    return {
        "verdict": decision.verdict, "blocked": decision.blocked, "policy": decision.policy,
        "policy_version": decision.policy_version, "dry_run": decision.dry_run, "degraded": decision.degraded,
        "reasons": [asdict(reason) for reason in decision.reasons], "coverage": asdict(decision.coverage),
        "latency_ms": round(decision.latency_ms, 2), "cached": decision.cached,
    }  # fmt: skip
