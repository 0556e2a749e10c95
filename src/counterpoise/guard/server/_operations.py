"""What a server answers beside its checks: whether it lives and takes requests, its numbers, its policies, and the page
at `/` to try it."""

import base64
import hashlib
import html
import re
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response

from ._checker import Checker
from ._config import ServerConfig
from ._errors import ApiError, answered


def add_operations(app: FastAPI, checker: Checker) -> None:
    """Health, readiness, metrics and the list of policies."""

    @app.get("/health")
    async def health() -> Response:
        """200 while every guard answers, 503 with the reason otherwise."""
        if trouble := checker.panel.trouble:
            return answered(ApiError(503, "guard_unavailable", trouble))
        return JSONResponse({"status": "ok", "fail_open": checker.config.fail_open})

    @app.get("/ready")
    async def ready() -> Response:
        """200 while requests would be taken: guards are loaded and answer, and no queue is full."""
        if trouble := checker.panel.trouble:
            return answered(ApiError(503, "guard_unavailable", trouble))
        if full := [name for name, waiting in checker.panel.waiting.items() if waiting >= checker.config.queue]:
            return answered(ApiError(503, "overloaded", f"the queue of guard {full[0]} is full", retry_after=1))
        return JSONResponse({"status": "ok", "waiting": checker.panel.waiting})

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text format."""
        return Response(checker.metrics.page(), media_type="text/plain; version=0.0.4")

    if checker.config.upstream is None:  # otherwise its models are listed

        @app.get("/v1/models")
        async def models() -> dict[str, Any]:
            """Policies, as models that `POST /v1/moderations` takes, and the guards behind them."""
            return {"object": "list", "data": cards(checker)}


def cards(checker: Checker) -> list[dict[str, Any]]:
    """The policies of a server, as models."""
    return [_card(checker, name) for name in checker.config.policies]


def _card(checker: Checker, name: str) -> dict[str, Any]:
    guards = [checker.panel[each] for each in checker.config.policies[name].guards]
    return {
        "id": name, "object": "model", "created": 0, "owned_by": "counterpoise", "version": checker.version(name),
        "guards": [guard.id for guard in guards], "sees_images": any(guard.sees.images != 0 for guard in guards),
        "dry_run": checker.config.policies[name].dry_run,
    }  # fmt: skip


def page(config: ServerConfig) -> APIRouter:
    """One self-contained page: nothing is loaded from elsewhere, and only its own script may run."""
    routes = APIRouter()
    text = files("counterpoise.guard.server").joinpath("page.html").read_text(encoding="utf-8")
    names = [config.default_policy, *(name for name in config.policies if name != config.default_policy)]
    options = "".join(f"<option>{html.escape(name)}</option>" for name in names)
    shown = text.replace("<!-- policies -->", options).replace("<!-- key -->", "" if config.api_keys_env else "hidden")
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data: blob:; style-src {_hash(shown, 'style')}; "
        f"script-src {_hash(shown, 'script')}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

    @routes.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(shown, headers=headers)

    return routes


def _hash(text: str, tag: str) -> str:
    """The hash by which a browser knows the page's own style or script."""
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    assert found is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"
