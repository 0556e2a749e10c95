"""The application: routes, errors, health, metrics, the page."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from counterpoise import __version__
from counterpoise.base import InputError

from .._registry import make_guard
from .._values import Guard
from ._checker import Checker
from ._config import ServerConfig
from ._errors import ApiError
from ._gate import Gate
from ._metrics import Metrics
from ._page import router as page
from ._proxy import router as proxy
from ._routes import router


def create_app(config: ServerConfig | None = None, guards: Mapping[str, Guard] | None = None) -> FastAPI:
    """The server as an ASGI application. `guards` are ready-made ones by name; the others are made from their names.

    Raises InputError for a guard that cannot be made, or keys that the environment does not hold.
    """
    config = config or ServerConfig()
    keys = _keys(config)
    names = dict.fromkeys(name for policy in config.policies.values() for name in policy.guards)
    metrics = Metrics()
    made = {name: (guards or {}).get(name) or make_guard(name) for name in names}
    checker = Checker(config, made, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        checker.close()

    app = FastAPI(title="Counterpoise guard", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
                  responses={code: {"description": text} for code, text in RESPONSES.items()})  # fmt: skip
    app.state.checker = checker
    app.include_router(router(config, checker))
    app.include_router(proxy(config, checker))
    app.include_router(page(config))
    _operations(app, config, checker, metrics)
    _errors(app)
    paths = frozenset(path for route in app.routes if (path := getattr(route, "path", None)))
    app.add_middleware(Gate, config=config, keys=keys, metrics=metrics, paths=paths)  # type: ignore[arg-type]
    return app


RESPONSES = {
    400: "an image that cannot be used, or content that is blocked", 401: "API key missing or wrong",
    404: "unknown policy", 413: "too large", 422: "not the protocol", 429: "too many requests",
    503: "a guard failed, nothing is let through", 504: "a guard is late, nothing is let through",
}  # fmt: skip


def _keys(config: ServerConfig) -> tuple[str, ...]:
    if config.api_keys_env is None:
        return ()
    keys = tuple(key.strip() for key in os.environ.get(config.api_keys_env, "").split(",") if key.strip())
    if not keys:
        raise InputError(f"api_keys_env: the environment variable {config.api_keys_env} holds no keys")
    return keys


def _operations(app: FastAPI, config: ServerConfig, checker: Checker, metrics: Metrics) -> None:
    @app.get("/health")
    async def health() -> Response:
        """200 while every guard lives, 503 with the reason otherwise."""
        if trouble := checker.trouble:
            return JSONResponse(ApiError(503, "guard_unavailable", trouble).body, 503)
        return JSONResponse({"status": "ok", "degraded": False, "fail_open": config.fail_open})

    @app.get("/ready")
    async def ready() -> Response:
        """200 while requests would be taken: guards live and no queue is full."""
        full = [name for name, worker in checker.workers.items() if worker.waiting >= config.queue]
        if (trouble := checker.trouble) or full:
            return JSONResponse(ApiError(503, "overloaded", trouble or f"queue of {full[0]} is full").body, 503)
        return JSONResponse({"status": "ok", "waiting": {n: w.waiting for n, w in checker.workers.items()}})

    @app.get("/metrics")
    async def show_metrics() -> Response:
        """Prometheus text format."""
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """Policies, as models that `POST /v1/moderations` takes, and the guards behind them."""
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "counterpoise", "version": checker.versions[name],
             "guards": [checker.workers[guard].guard.id for guard in policy.guards],
             "sees_images": any(checker.workers[guard].guard.sees.images != 0 for guard in policy.guards)}
            for name, policy in config.policies.items()
        ]  # fmt: skip
        return {"object": "list", "data": data}


def _errors(app: FastAPI) -> None:
    def answer(error: ApiError) -> JSONResponse:
        return JSONResponse(error.body, error.status, headers=error.headers)

    @app.exception_handler(ApiError)
    async def own(_: Request, error: ApiError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")[:200]
        where = "".join(c for c in where if c.isascii() and c.isprintable())
        message = str(first["msg"])[:200] if first["type"] != "value_error" else "wrong value"
        return answer(ApiError(422, "invalid_request", f"{where or 'body'}: {message}", where or None))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        names = {404: "not_found", 405: "method_not_allowed", 400: "invalid_request"}
        code = names.get(error.status_code, "invalid_request")
        found = answer(ApiError(error.status_code, code, str(error.detail)[:200]))
        found.headers.update(error.headers or {})
        return found

    @app.exception_handler(Exception)
    async def other(_: Request, error: Exception) -> JSONResponse:
        return answer(ApiError(500, "internal_error", f"unexpected {type(error).__name__}; nothing was let through"))
