"""The proxy in front of a model: what goes in is checked, then what comes out."""

from ._routes import router

__all__ = ["router"]
