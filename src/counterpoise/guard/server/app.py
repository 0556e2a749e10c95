"""The application: endpoints, errors, health, metrics, the page."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from counterpoise import __version__

from .._values import Guard
from . import _checks, _litellm, _moderation, _page, _proxy
from ._checker import Checker
from ._config import ServerConfig
from ._decision import Decision
from ._errors import ApiError
from ._http import STATE, Surround
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
    _operations(app, checker)
    app.include_router(_proxy.router(config, checker))
    app.include_router(_page.router(config))
    _errors(app)
    paths = tuple(path for route in app.routes if (path := getattr(route, "path", None)))
    app.add_middleware(Surround, config=config, metrics=checker.metrics, routes=paths)
    return app


def _endpoints(app: FastAPI, checker: Checker) -> None:
    async def noted(request: Request, work: Awaitable[Answer]) -> dict[str, Any]:
        """The answer; what the log line says of it holds no content."""
        answer, decisions = await work
        verdicts = sorted({decision.verdict for decision in decisions})
        request.scope[STATE]["log"] = {
            "verdict": "+".join(verdicts), "policy": "+".join(sorted({d.policy for d in decisions})),
            "blocked": any(d.blocked for d in decisions), "degraded": any(d.degraded for d in decisions),
        }  # fmt: skip
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


def _operations(app: FastAPI, checker: Checker) -> None:
    @app.get("/health")
    async def health() -> Response:
        """200 while every guard answers, 503 with the reason otherwise."""
        if trouble := checker.trouble:
            return _answer(ApiError(503, "guard_unavailable", trouble))
        return JSONResponse({"status": "ok", "fail_open": checker.config.fail_open})

    @app.get("/ready")
    async def ready() -> Response:
        """200 while requests would be taken: guards answer and no queue is full."""
        if trouble := checker.trouble:
            return _answer(ApiError(503, "guard_unavailable", trouble))
        if full := [name for name, waiting in checker.waiting.items() if waiting >= checker.config.queue]:
            return _answer(ApiError(503, "overloaded", f"the queue of guard {full[0]} is full", retry_after=1))
        return JSONResponse({"status": "ok", "waiting": checker.waiting})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text format."""
        return Response(checker.metrics.page(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """Policies, as models that `POST /v1/moderations` takes, and the guards behind them."""
        return {"object": "list", "data": [_card(checker, name) for name in checker.config.policies]}


def _card(checker: Checker, name: str) -> dict[str, Any]:
    guards = [checker.guards[each] for each in checker.config.policies[name].guards]
    return {
        "id": name, "object": "model", "created": 0, "owned_by": "counterpoise", "version": checker.version(name),
        "guards": [guard.id for guard in guards], "sees_images": any(guard.sees.images != 0 for guard in guards),
        "dry_run": checker.config.policies[name].dry_run,
    }  # fmt: skip


def _answer(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body, error.status, headers=error.headers)


def _errors(app: FastAPI) -> None:
    handler: Callable[[Any], Callable[[Any], Any]] = app.exception_handler

    @handler(ApiError)
    async def own(_: Request, error: ApiError) -> JSONResponse:
        return _answer(error)

    @handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        """The first error in one line: where, and what was expected; never what was sent."""
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")[:200]
        where = "".join(c for c in where if c.isascii() and c.isprintable())
        message = "wrong value" if first["type"] in ("value_error", "json_invalid") else str(first["msg"])[:200]
        message = "not valid JSON" if first["type"] == "json_invalid" else message
        return _answer(ApiError(422, "invalid_request", f"{where or 'body'}: {message}", where or None))

    @handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        found = _answer(ApiError(error.status_code, code, str(error.detail)[:200]))
        found.headers.update(error.headers or {})
        return found
