"""`POST /v1/chat/completions`: check what goes in, ask the model, check what comes out.

What is blocked looks like this. Input: status 400, code `content_blocked`, and `x_guard` with the reasons; the model is
not asked. Output: the choice has no content and finish_reason `content_filter`. The default policy decides: clients
cannot choose a weaker one.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from .._values import Exchange
from ._checker import Checker
from ._config import ServerConfig, Upstream
from ._decision import Decision
from ._errors import ApiError
from ._intake import Intake, clean, read_messages
from ._proxy_events import Chunk, EventStream, guarded
from ._proxy_parts import ENVELOPE, choice_parts, inline, request_text, with_images
from ._proxy_upstream import UpstreamClient
from ._schemas import Chat
from ._stream import Check, Gate, Unit
from ._tasks import unless_gone


def router(config: ServerConfig, checker: Checker) -> APIRouter:
    """The proxy; without an upstream it answers 404."""
    upstream = config.upstream
    limit = config.limits.request_bytes
    client = UpstreamClient(upstream, limit, pass_key=config.api_keys_env is None) if upstream else None

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        if client is not None:
            await client.close()

    routes = APIRouter(lifespan=lifespan)

    @routes.post("/v1/chat/completions")
    async def complete(body: Chat, request: Request) -> Response:
        """OpenAI's chat completions, guarded on both sides; with `stream`, as server-sent events."""
        if upstream is None or client is None:
            raise ApiError(404, "no_upstream", "this guard has no model behind it; set upstream.base_url")
        found, forward = await _read(body, config)
        answer = _Answer(upstream, client, checker, found, config.limits.text_characters)
        made = await unless_gone(request.receive, answer.make(forward, request.headers))
        response: Response = made or Response(status_code=499)  # nobody reads this one
        return response

    return routes


async def _read(body: dict[str, Any], config: ServerConfig) -> tuple[Intake, dict[str, Any]]:
    """What is to be checked of a request, and the request as it goes on: untouched but for its images."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise ApiError(422, "invalid_request", "messages: expected a list of messages", "messages")
    if body.get("stream") not in (None, True, False):
        raise ApiError(422, "invalid_request", "stream: expected true or false", "stream")
    number = body.get("n")
    if number is not None and (type(number) is not int or not 1 <= number <= 128):
        raise ApiError(422, "invalid_request", "n: expected a number from 1 to 128", "n")
    beside = request_text(body)  # tools and the like, which the model reads too
    extra = [{"role": "system", "content": beside}] if beside and messages else []
    found = await read_messages([*extra, *messages], config.limits, config.fetch, skip=len(extra))
    if body.get("chat_template"):  # a program that writes the prompt anew: what the guards saw is not what it says
        found = replace(found, uninspected=(*found.uninspected, "chat_template"))
    return found, {**body, "messages": with_images(messages, found.images)}


class _Answer:
    """One request: both checks and the call between them."""

    def __init__(self, upstream: Upstream, client: UpstreamClient, checker: Checker, found: Intake, longest: int):
        self.upstream, self.client, self.checker, self.found = upstream, client, checker, found
        self.longest = longest

    async def make(self, body: dict[str, Any], headers: Mapping[str, str]) -> Response:
        """The answer. Raises ApiError for what comes before the first byte of it."""
        if refusal := await self._input():
            return refusal
        if not body.get("stream"):
            return await self._whole(body, headers)
        chunks = self._chunks(body, headers)
        try:
            first = await anext(chunks, None)  # so that an error that comes first is an answer with its own status
        except BaseException:
            await chunks.aclose()
            raise
        return EventStream(first, chunks)

    async def _input(self) -> Response | None:
        """The refusal of a blocked request. A prefilled answer is judged as an answer, and the request without it."""
        for one in [self.found.asked, self.found] if self.found.exchange.answer is not None else [self.found]:
            decision = await self.checker.decide(one)
            if decision.blocked:
                error = ApiError(400, "content_blocked", f"the request was blocked by policy {decision.policy}")
                return JSONResponse({**error.body, "x_guard": summary(decision)}, error.status)
        return None

    async def _decide(self, text: str, others: tuple[str, ...]) -> Decision:
        """About an answer, or what there is of it so far."""
        before = self.found.exchange.answer or ""
        exchange = Exchange(self.found.exchange.conversation, before + clean(text) or None)
        unseen = tuple(dict.fromkeys((*self.found.uninspected, *others, *inline(text))))
        places = replace(self.found.places, answer=None)
        return await self.checker.decide(replace(self.found, exchange=exchange, uninspected=unseen, places=places))

    async def _whole(self, body: dict[str, Any], headers: Mapping[str, str]) -> Response:
        value = await self.client.answer(body, headers)
        choices = value.get("choices")
        if not isinstance(choices, list) or not all(isinstance(c, dict) and "message" in c for c in choices):
            raise ApiError(502, "upstream_invalid", "the upstream's answer has no choices")
        decisions: list[Decision] = []
        passed: list[Any] = []
        for choice in choices:
            gate = Gate[Any]("buffer", self._check(decisions))
            await gate.add(Unit(choice, *choice_parts(choice)))
            if gate.length > self.longest:
                raise ApiError(502, "upstream_too_large", f"an answer has more than {self.longest:,} characters")
            passed += await gate.end() or [_empty(choice)]
        own = {name: value[name] for name in ENVELOPE if name in value}
        whole = json.dumps({**own, "choices": passed, "x_guard": [summary(one) for one in decisions]})
        return Response(whole, media_type="application/json")  # in ASCII: models also write halves of characters

    async def _chunks(self, body: dict[str, Any], headers: Mapping[str, str]) -> AsyncGenerator[Chunk, None]:
        def gate() -> Gate[Chunk]:
            return Gate(self.upstream.stream, self._check([]), self.upstream.window)

        async with aclosing(self.client.events(body, headers)) as events:
            async for chunk in guarded(events, gate, body.get("n") or 1, self.longest):
                yield chunk

    def _check(self, decisions: list[Decision]) -> Check:
        """What the gate of one choice asks; the decisions are kept."""

        async def check(text: str, others: tuple[str, ...]) -> bool:
            decisions.append(await self._decide(text, others))
            return not decisions[-1].blocked

        return check


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
