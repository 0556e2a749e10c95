"""The moderation server: OpenAI's, NeMo's and LiteLLM's endpoints, our own, and a proxy, over guards in batches."""

from typing import TYPE_CHECKING, Any

from ._config import ServerConfig, read_config

if TYPE_CHECKING:
    from ._observe import configure as configure_logs
    from ._serve import check_address
    from ._serve import run as run_server
    from .app import create_app

_PLACES = {
    "check_address": ("_serve", "check_address"),
    "configure_logs": ("_observe", "configure"),
    "create_app": ("app", "create_app"),
    "run_server": ("_serve", "run"),
}

__all__ = ["ServerConfig", "check_address", "configure_logs", "create_app", "read_config", "run_server"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(name)
    from importlib import import_module

    from counterpoise.base import require

    require("fastapi", purpose="the guard server", install="counterpoise[serve]")
    module, found = _PLACES[name]
    return getattr(import_module(f"{__name__}.{module}"), found)
