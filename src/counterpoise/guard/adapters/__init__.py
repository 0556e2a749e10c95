"""Adapters: published guard models, a keyword list, OpenAI's moderation API, any model of Inspect; one protocol."""

from functools import partial
from typing import TYPE_CHECKING, Any

from .._options import checked_options
from ._keyword import KeywordGuard
from ._openai import OpenAIModeration
from ._rubric import RubricGuard

if TYPE_CHECKING:
    from ._classifier import ImageClassifierGuard, TextClassifierGuard
    from ._families import FAMILIES
    from ._family import Family
    from ._model import ModelGuard

__all__ = [
    "FAMILIES",
    "Family",
    "ImageClassifierGuard",
    "KeywordGuard",
    "ModelGuard",
    "OpenAIModeration",
    "RubricGuard",
    "TextClassifierGuard",
]


def _model(family: str, **options: Any) -> "ModelGuard":
    from ._model import ModelGuard

    detail = options.pop("detail", None)
    return ModelGuard(family, detail, **checked_options(family, partial(ModelGuard, family, detail), options))


llama_guard_3 = partial(_model, "llama-guard-3")
llama_guard_3_1b = partial(_model, "llama-guard-3-1b")
llama_guard_3_vision = partial(_model, "llama-guard-3-vision")
llama_guard_4 = partial(_model, "llama-guard-4")
shieldgemma_2 = partial(_model, "shieldgemma-2")
llavaguard = partial(_model, "llavaguard")
guardreasoner_vl = partial(_model, "guardreasoner-vl")
qwen3guard = partial(_model, "qwen3guard")
granite_guardian = partial(_model, "granite-guardian")
wildguard = partial(_model, "wildguard")
nemotron = partial(_model, "nemotron")
polyguard = partial(_model, "polyguard")
gpt_oss_safeguard = partial(_model, "gpt-oss-safeguard")


def __getattr__(name: str) -> Any:
    """Parts that need torch are imported when first used."""
    places = {"FAMILIES": "_families", "Family": "_family", "ModelGuard": "_model",
              "ImageClassifierGuard": "_classifier", "TextClassifierGuard": "_classifier"}  # fmt: skip
    if name not in places:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{places[name]}", __name__), name)
