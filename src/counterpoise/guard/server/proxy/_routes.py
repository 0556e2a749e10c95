"""The endpoints of the proxy. The default policy decides: clients cannot choose a weaker one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from .._checker import Checker
from .._config import ServerConfig
from .._errors import STATE, ApiError
from .._operations import cards
from .._schemas import Chat, Responses
from .._tasks import unless_gone
from ._answer import Answer
from ._passing import card
from ._requests import Asked, chat, responses
from ._responses import ResponsesAnswer
from ._upstream import UpstreamClient

Read = Callable[[dict[str, Any], ServerConfig], Awaitable[Asked]]


def router(config: ServerConfig, checker: Checker) -> APIRouter:
    """The proxy; without an upstream its endpoints answer 404."""
    upstream = config.upstream
    limit = config.limits.request_bytes
    client = UpstreamClient(upstream, limit, pass_key=config.api_keys_env is None) if upstream else None

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        if client is not None:
            await client.close()

    routes = APIRouter(lifespan=lifespan)

    async def answered(body: dict[str, Any], request: Request, read: Read, kind: type[Answer]) -> Response:
        if client is None:
            raise ApiError(404, "no_upstream", "this guard has no model behind it; set upstream.base_url")
        asked = await read(body, config)
        answer = kind(client, checker, asked, config.limits.text_characters)
        request.scope[STATE]["decisions"] = answer.decisions  # the log line is written when all are there
        made = await unless_gone(request.receive, answer.make(request.headers))
        return made or Response(status_code=499)  # nobody reads this one

    @routes.post("/v1/chat/completions")
    async def complete(body: Chat, request: Request) -> Response:
        """OpenAI's chat completions, guarded on both sides; with `stream`, as server-sent events."""
        return await answered(body, request, chat, Answer)

    @routes.post("/v1/responses")
    async def respond(body: Responses, request: Request) -> Response:
        """OpenAI's responses, guarded like chat completions. What a client sends must stand in the request."""
        return await answered(body, request, responses, ResponsesAnswer)

    if client is not None:
        _models(routes, checker, client)
    return routes


def _models(routes: APIRouter, checker: Checker, client: UpstreamClient) -> None:
    @routes.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        """The upstream's models; the policies of this server, which `POST /v1/moderations` takes, beside them."""
        found = await client.get("/models", request.headers)
        given = found.get("data")
        rows = [card(each) for each in given if isinstance(each, dict)] if isinstance(given, list) else []
        offered = client.settings.models
        rows = [each for each in rows if not offered or each.get("id") in offered]
        return {"object": "list", "data": rows, "policies": cards(checker)}

    @routes.get("/v1/models/{name:path}")
    async def model(name: str, request: Request) -> dict[str, Any]:
        """One model of the upstream."""
        return card(await client.get(f"/models/{name}", request.headers))
