"""Errors of the server, in the shape of OpenAI's: no stack traces, and nothing of the request comes back."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

STATE = "counterpoise.guard"
"""Where what the server notes about a request stands in its ASGI scope."""
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer other than 200. `code` is what programs read, `message` one line for people."""

    def __init__(self, status: int, code: str | None, message: str, param: str | None = None,
                 retry_after: int | None = None, *, kind: str | None = None,
                 headers: Mapping[str, str] | None = None):  # fmt: skip
        """`kind`: the error's type, where its status does not say it. `headers`: of the answer, besides Retry-After."""
        super().__init__(message)
        self.status, self.code, self.message, self.param, self.retry_after = status, code, message, param, retry_after
        self.kind = kind or TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self._headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """`{"error": {message, type, param, code}}`."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        return self._headers | ({"Retry-After": str(self.retry_after)} if self.retry_after else {})


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
