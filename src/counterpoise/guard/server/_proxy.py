"""`POST /v1/chat/completions`: check what goes in, ask the model, check what comes out."""

import asyncio
import copy
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from counterpoise.chat import Image

from .._values import Exchange
from ._answers import said, without
from ._checker import Checker
from ._config import ServerConfig, Upstream
from ._decision import Decision
from ._errors import ApiError
from ._intake import Intake, clean, read_messages
from ._release import LONGEST, Blocked, guarded

DIED = ApiError(502, "upstream_failed", "the model's server broke off; what was not checked is not delivered")


def router(config: ServerConfig, checker: Checker) -> APIRouter:
    """The proxy; without an upstream it answers 404."""
    routes = APIRouter()

    @routes.post("/v1/chat/completions")
    async def complete(body: dict[str, Any], request: Request) -> Response:
        """OpenAI's chat completions, guarded. Blocked input: 400 `content_blocked`. Blocked output: finish_reason
        `content_filter` and no content. Header X-Guard-Policy names a policy."""
        if config.upstream is None:
            raise ApiError(404, "no_upstream", "this guard has no model behind it; set upstream.base_url")
        messages = body.get("messages")
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            raise ApiError(422, "invalid_request", "messages: expected a list of messages", "messages")
        policy = request.headers.get("x-guard-policy")
        found = await read_messages(_with_tools(messages, body), config.limits, config.fetch)
        decision = await checker.check(found.exchange, policy=policy, uninspected=found.uninspected)
        if decision.blocked:
            raise _blocked(decision)
        asked = await read_messages(messages, config.limits, config.fetch) if body.get("tools") else found
        call = _Call(config.upstream, checker, policy, _turns(asked))
        forward = _forward(body, messages, asked)
        key = request.headers.get("authorization")
        if body.get("stream"):
            return await call.stream(forward, key)
        return await _unless_gone(request, call.whole(forward, key))

    return routes


def _with_tools(messages: list[dict[str, Any]], body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conversation with the descriptions of tools, which a model reads too."""
    tools = [json.dumps(tool) for name in ("tools", "functions") for tool in body.get(name) or []]
    return [{"role": "system", "content": tools}, *messages] if tools else messages


def _turns(found: Intake) -> Exchange:
    """The conversation that is answered; a prefilled answer is part of it."""
    return found.exchange


def _forward(body: dict[str, Any], messages: list[dict[str, Any]], found: Intake) -> dict[str, Any]:
    """The request as it goes on: untouched, but every image as the very pixels that were checked."""
    own = copy.deepcopy(messages)
    for where, image in (found.images or {}).items():
        _, number, *rest = where.split(".")
        part = own[int(number)]["content"][int(rest[-1])]
        url = image.data_uri() if isinstance(image, Image) else image
        part["image_url"] = {**part["image_url"], "url": url} if isinstance(part.get("image_url"), dict) else url
    return {**body, "messages": own}


def _blocked(decision: Decision) -> ApiError:
    reason = decision.reasons[0]
    return ApiError(400, "content_blocked", f"blocked by policy {decision.policy}: {reason.category or reason.text}")


async def _unless_gone(request: Request, work: Any) -> Response:
    """`work`, given up when the client has gone: nobody pays for an answer that nobody reads."""

    async def gone() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(0.25)

    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "client_gone", "the client has gone")
        found: Response = task.result()
        return found
    finally:
        task.cancel()
        watch.cancel()


class _Call:
    """One question to the upstream and the checks of its answer."""

    def __init__(self, upstream: Upstream, checker: Checker, policy: str | None, asked: Exchange):
        self.upstream, self.checker, self.policy, self.asked = upstream, checker, policy, asked

    async def _open(self, body: dict[str, Any], key: str | None, stack: AsyncExitStack) -> Any:
        import httpx

        if name := self.upstream.api_key_env:
            key = f"Bearer {os.environ.get(name, '')}"
        headers = {"Authorization": key} if key else {}
        url = f"{self.upstream.base_url.rstrip('/')}/chat/completions"
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=self.upstream.seconds, trust_env=False))
        try:
            answer = await stack.enter_async_context(client.stream("POST", url, json=body, headers=headers))
        except httpx.TimeoutException:
            raise ApiError(504, "upstream_timeout", "the model's server did not answer in time") from None
        except httpx.HTTPError:
            raise ApiError(502, "upstream_failed", "the model's server cannot be reached") from None
        if answer.status_code != 200:
            status = answer.status_code if 400 <= answer.status_code < 500 else 502
            raise ApiError(status, "upstream_error", f"the model's server answered {answer.status_code}")
        return answer

    async def passes(self, text: str, others: list[str] | None = None) -> bool:
        """Whether an answer may leave."""
        if not text.strip() and not others:
            return True
        before = self.asked.answer
        exchange = Exchange(self.asked.conversation, (before or "") + clean(text) if text.strip() else before)
        found = await self.checker.check(exchange, policy=self.policy, uninspected=others or ())
        return not found.blocked

    async def whole(self, body: dict[str, Any], key: str | None) -> Response:
        """The answer in one piece."""
        import httpx

        async with AsyncExitStack() as stack:
            answer = await self._open(body, key, stack)
            data = bytearray()
            try:
                async for piece in answer.aiter_bytes():
                    data += piece
                    if len(data) > 4 * LONGEST:
                        raise DIED
            except httpx.HTTPError:
                raise DIED from None
        try:
            value = json.loads(data)
            choices = [(choice, *said(choice["message"])) for choice in value["choices"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ApiError(502, "upstream_error", "the model's server did not answer in OpenAI's form") from None
        for place, (choice, text, others) in enumerate(choices):
            if not await self.passes(text, others):
                value["choices"][place] = without(choice, "message")
        return JSONResponse(value)

    async def stream(self, body: dict[str, Any], key: str | None) -> Response:
        """The answer as server-sent events, each held until its text has passed."""
        stack = AsyncExitStack()
        try:
            answer = await self._open(body, key, stack)
        except BaseException:
            await stack.aclose()
            raise
        several = body.get("n") not in (None, 1)
        mode = "buffer" if several else self.upstream.stream  # several answers at once are held whole
        texts: dict[int, str] = {}

        async def passes(_: str) -> bool:
            return all([await self.passes(text) for text in texts.values()])  # each by itself, never interleaved

        async def events() -> AsyncIterator[str]:
            last: dict[str, Any] = {}
            try:
                async with stack:
                    found = _events(answer, last, texts, several=several)
                    checked = guarded(found, passes, mode, self.upstream.window)
                    async for event in checked:
                        yield f"data: {event}\n\n"
            except Blocked:
                end = {name: last.get(name) for name in ("id", "object", "created", "model")}
                yield f"data: {json.dumps(end | {'choices': [without({}, 'delta')]})}\n\n"
            except ApiError as error:
                yield f"data: {json.dumps(error.body)}\n\n"
                return
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _events(answer: Any, last: dict[str, Any], texts: dict[int, str], *, several: bool
                  ) -> AsyncIterator[tuple[str, str]]:  # fmt: skip
    """(event, its text) of the upstream's stream; `texts` gathers the text of each answer, `last` the other fields.

    Raises Blocked for parts that nobody can look at, and ApiError when the stream ends without its end mark or holds
    answers that nobody asked for."""
    import httpx

    done = False
    try:
        async for line in answer.aiter_lines():
            if not line.startswith("data:"):
                continue
            data = line[5:].strip()
            if data == "[DONE]":
                done = True
                break
            try:
                value = json.loads(data)
                deltas = [(int(c.get("index") or 0), *said(c.get("delta") or {})) for c in value.get("choices") or []]
            except (ValueError, AttributeError, TypeError, RecursionError):
                raise DIED from None
            if "error" in value or (not several and any(index for index, _, _ in deltas)):
                raise DIED
            last.update({k: v for k, v in value.items() if k != "choices"})
            if any(others for _, _, others in deltas):
                raise Blocked
            for index, text, _ in deltas:
                texts[index] = texts.get(index, "") + text
            yield json.dumps(value), "".join(text for _, text, _ in deltas)
    except httpx.HTTPError:
        raise DIED from None
    if not done:
        raise DIED
