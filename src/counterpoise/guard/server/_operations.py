"""What operators ask a server: whether it lives, whether it takes requests, its numbers, its policies."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from ._checker import Checker
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
