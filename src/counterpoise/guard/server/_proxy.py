"""`POST /v1/chat/completions`: check what goes in, ask the model, check what comes out.

What is blocked looks like this. Input: status 400, code `content_blocked`, and `x_guard` with the reasons; the model is
not asked. Output: the choice has no content and finish_reason `content_filter`. The default policy decides: clients
cannot choose a weaker one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ._checker import Checker
from ._config import ServerConfig
from ._errors import ApiError
from ._http import STATE
from ._intake import Intake, read_messages
from ._proxy_answer import Answer
from ._proxy_parts import request_text, with_images
from ._proxy_upstream import UpstreamClient
from ._schemas import Chat
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
        answer = Answer(client, checker, found, config.limits.text_characters)
        request.scope[STATE]["decisions"] = answer.decisions  # the log line is written when all are there
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
