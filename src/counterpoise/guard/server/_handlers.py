"""Errors as answers: those of ours, of the protocol, and of the web framework."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ._errors import ApiError
from ._http import STATE


def answered(error: ApiError) -> JSONResponse:
    """The answer that an error is."""
    return JSONResponse(error.body, error.status, headers=error.headers)


def add_handlers(app: FastAPI) -> None:
    """Every error has OpenAI's shape, and says nothing of what was sent."""
    handler: Callable[[Any], Callable[[Any], Any]] = app.exception_handler

    @handler(ApiError)
    async def own(request: Request, error: ApiError) -> JSONResponse:
        request.scope[STATE]["error"] = error.code  # for the log line
        return answered(error)

    @handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        """The first error in one line: where, and what was expected; never what was sent."""
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")[:200]
        where = "".join(c for c in where if c.isascii() and c.isprintable())
        message = "wrong value" if first["type"] in ("value_error", "json_invalid") else str(first["msg"])[:200]
        message = "not valid JSON" if first["type"] == "json_invalid" else message
        return answered(ApiError(422, "invalid_request", f"{where or 'body'}: {message}", where or None))

    @handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        found = answered(ApiError(error.status_code, code, str(error.detail)[:200]))
        found.headers.update(error.headers or {})
        return found
