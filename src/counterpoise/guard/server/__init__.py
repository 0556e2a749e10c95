"""The moderation server: OpenAI's, NeMo's and LiteLLM's endpoints, our own, and a proxy, over guards in batches."""

from ._config import ServerConfig, read_config

__all__ = ["ServerConfig", "create_app", "read_config"]


def __getattr__(name: str) -> object:
    if name != "create_app":
        raise AttributeError(name)
    from counterpoise.base import require

    require("fastapi", purpose="the guard server", install="counterpoise[serve]")
    from .app import create_app

    return create_app
