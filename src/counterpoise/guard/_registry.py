"""Guards by name. A third party adds one through the entry point group `counterpoise.guards`."""

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from counterpoise.base import InputError

from ._options import checked_options
from ._reader import reading
from ._values import Guard

GROUP = "counterpoise.guards"

_MAKERS: dict[str, tuple[str, str, str]] = {
    # name -> (module below counterpoise.guard, function, what it is); filled by the rooms of the guards
    "tiny": ("own", "tiny", "ours: sentence embedding and a small network, milliseconds on a CPU; text and images"),
    "small": ("own", "small", "ours: the pocket VLM with LoRA in Llama Guard's format; text and images"),
    "probe": ("own", "probe", "probe:FOLDER: a linear probe on the deployed model's own states; text and images"),
    "saferoute": ("saferoute", "saferoute", "saferoute:FOLDER: a small guard, and a large one where a router asks"),
    "severity": ("_replies", "severity", "severity:FOLDER: four grades, trained by safe_rlhf; answers, with images"),
    "cost": ("_replies", "cost", "cost:FOLDER: the cost model of safe-rlhf-v, calibrated; answers, with images"),
    "clue": ("clue", "make_guard", "clue:FILE: images judged by a written constitution; images only"),
    "keyword": ("adapters", "KeywordGuard", "a list of phrases, keyword:FILE for your own; text, no model needed"),
    "openai-moderation": ("adapters", "OpenAIModeration", "OpenAI's moderation API; what it checks leaves here"),
    "rubric": ("adapters", "RubricGuard", "rubric:PROVIDER/MODEL: any model of Inspect, our rubric; text and images"),
    "llama-guard-3": ("adapters", "llama_guard_3", "meta-llama/Llama-Guard-3-8B; text"),
    "llama-guard-3-1b": ("adapters", "llama_guard_3_1b", "meta-llama/Llama-Guard-3-1B; text"),
    "llama-guard-3-vision": ("adapters", "llama_guard_3_vision", "meta-llama/Llama-Guard-3-11B-Vision; image and text"),
    "llama-guard-4": ("adapters", "llama_guard_4", "meta-llama/Llama-Guard-4-12B; text and images"),
    "shieldgemma-2": ("adapters", "shieldgemma_2", "google/shieldgemma-2-4b-it; images only"),
    "llavaguard": ("adapters", "llavaguard", "AIML-TUDA/LlavaGuard-v1.2-7B-OV-hf; images only, editable policy"),
    "guardreasoner-vl": ("adapters", "guardreasoner_vl", "yueliu1999/GuardReasoner-VL-7B; text and image; reasons"),
    "qwen3guard": ("adapters", "qwen3guard", "Qwen/Qwen3Guard-Gen-4B; text, three levels"),
    "granite-guardian": ("adapters", "granite_guardian", "ibm-granite/granite-guardian-3.0-8b; text"),
    "wildguard": ("adapters", "wildguard", "allenai/wildguard; text, also says whether an answer refuses"),
    "nemotron": ("adapters", "nemotron", "nvidia/Llama-3.1-Nemotron-Safety-Guard-8B-v3; text, 9 languages"),
    "polyguard": ("adapters", "polyguard", "ToxicityPrompts/PolyGuard-Qwen; text, 17 languages"),
    "gpt-oss-safeguard": ("adapters", "gpt_oss_safeguard", "openai/gpt-oss-safeguard-20b; text, a policy of yours"),
    "prompt-guard-2": (
        "adapters",
        "TextClassifierGuard",
        "Llama-Prompt-Guard-2-86M; jailbreaks and injections; text",
    ),
    "nsfw-image": (
        "adapters",
        "ImageClassifierGuard",
        "nsfw_image_detection, or any image classifier; images only",
    ),
}


_OF_GUARDS = ("saferoute",)
"""They hold guards that are made here themselves, each with its reader."""


def known_guards() -> dict[str, str]:
    """Name -> one line about it, those of other packages included."""
    own = {name: about for name, (_, _, about) in _MAKERS.items()}
    return own | {point.name: f"from {point.value}" for point in entry_points(group=GROUP)}


def make_guard(spec: str, **options: Any) -> Guard:
    """A guard from `name` or `name:detail` (a model id or a folder); options go to its maker. A reader stands before
    it, which undoes disguises of texts and knows which languages the guard reads.

    Raises InputError for a name that nobody knows, and for an option that its maker does not take or of another kind.
    """
    name, _, detail = spec.partition(":")
    if detail:
        options["detail"] = detail
    maker: Callable[..., Guard]
    if name in _MAKERS:
        module, function, _ = _MAKERS[name]
        maker = getattr(importlib.import_module(f"counterpoise.guard.{module}"), function)
    else:
        points = {point.name: point for point in entry_points(group=GROUP)}
        if name not in points:
            raise InputError.unknown("guard", name, known_guards())
        maker = points[name].load()
    made = maker(**checked_options(name, maker, options))
    return made if name in _OF_GUARDS else reading(made)
