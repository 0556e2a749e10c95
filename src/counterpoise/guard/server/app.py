"""The application: the endpoints that check, put together with all others."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request

from counterpoise import __version__

from .._values import Guard
from . import _checks, _litellm, _moderation, proxy
from ._checker import Checker
from ._config import ServerConfig
from ._decision import Decision
from ._errors import STATE, add_handlers
from ._http import Surround
from ._operations import add_operations, page
from ._schemas import Check, Checks, LiteLLM, Moderation

RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"description": "an image or a body that cannot be used, or content that is blocked"},
    401: {"description": "API key missing or wrong"},
    404: {"description": "unknown policy"},
    408: {"description": "the request did not arrive in time"},
    413: {"description": "too large"},
    422: {"description": "not the protocol"},
    429: {"description": "too many requests"},
    503: {"description": "a guard failed; nothing is let through"},
    504: {"description": "a guard is late; nothing is let through"},
}
Answer = tuple[dict[str, Any], Sequence[Decision]]


def create_app(config: ServerConfig | None = None, guards: Mapping[str, Guard] | None = None) -> FastAPI:
    """The server as an ASGI application. `guards` are ready-made ones by name; the others are made from their names.
    One without a reader gets one, so that disguised texts are undone before each of them.

    Raises InputError for a guard that cannot be made, or keys that the environment does not hold.
    """
    config = config or ServerConfig()
    checker = Checker(config, guards)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        checker.close()

    app = FastAPI(
        title="Counterpoise guard", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        responses=RESPONSES,
    )  # fmt: skip
    app.state.checker = checker
    _endpoints(app, checker)
    add_operations(app, checker)
    routers = (proxy.router(config, checker), page(config))
    for router in routers:
        app.include_router(router)
    add_handlers(app)
    routes = [*app.routes, *(route for router in routers for route in router.routes)]  # not all FastAPIs copy them
    paths = tuple(path for route in routes if (path := getattr(route, "path", None)))
    app.add_middleware(Surround, config=config, metrics=checker.metrics, routes=paths)
    return app


def _endpoints(app: FastAPI, checker: Checker) -> None:
    async def noted(request: Request, work: Awaitable[Answer]) -> dict[str, Any]:
        """The answer; the log line says of it what the decisions are."""
        answer, decisions = await work
        request.scope[STATE]["decisions"] = {"": decisions}
        return answer

    @app.post("/v1/moderations")
    async def moderations(body: Moderation, request: Request) -> dict[str, Any]:
        """OpenAI's moderation endpoint; `model` names a policy. Details stand in `x_guard` of each result."""
        return await noted(request, _moderation.moderate(checker, body, request.scope[STATE]["id"]))

    @app.post("/v1/guard/check")
    async def check(body: Check, request: Request) -> dict[str, Any]:
        """A whole conversation, checked by one or several policies; the strictest decision stands."""
        return await noted(request, _checks.check(checker, body, request.scope[STATE]["id"]))

    @app.post("/v1/checks")
    async def nemo(body: Checks, request: Request) -> dict[str, Any]:
        """NeMo Guardrails' check-only endpoint; `guardrails.config_id` names a policy."""
        return await noted(request, _checks.nemo_checks(checker, body))

    @app.post(_litellm.PATH)
    async def litellm(body: LiteLLM, request: Request) -> dict[str, Any]:
        """LiteLLM's generic guardrail: NONE, or BLOCKED with a reason. What cannot be inspected is BLOCKED."""
        return await noted(request, _litellm.litellm(checker, body))
