"""LoRA targets by module path."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from counterpoise.base import InputError

LANGUAGE = ("language_model", "text_model")
VISION = ("vision_tower", "vision_model", "visual")
CONNECTOR = ("multi_modal_projector", "connector", "embed_vision", "merger")


def submodule(model: Any, names: Sequence[str]) -> tuple[str, Any] | None:
    """(path, module) of the first attribute in `names`, looked for under `model.model` and then under `model`."""
    for prefix, owner in (("model.", getattr(model, "model", None)), ("", model)):
        for name in names:
            found = getattr(owner, name, None) if owner is not None else None
            if found is not None and hasattr(found, "named_modules"):
                return prefix + name, found
    return None


def lora_targets(model: Any, *, include_vision: bool = False, include_connector: bool = False) -> list[str]:
    """Full module paths of all linear layers of the language model (never `lm_head`), in order.

    Vision tower and connector only when asked for. Raises InputError when the model's structure is not known: a vague
    name would silently adapt the vision tower.
    """
    roots = [_language_root(model)]
    for wanted, names in ((include_vision, VISION), (include_connector, CONNECTOR)):
        if wanted:
            found = submodule(model, names)
            if found is None:
                raise InputError(f"{type(model).__name__}: has none of the modules {', '.join(names)}")
            roots.append(found)
    paths = [
        _plain(f"{root}.{name}")
        for root, module in roots
        for name, layer in module.named_modules()
        if _is_linear(layer) and ".lora_" not in f".{name}"
    ]
    if not paths:
        raise InputError(f"{type(model).__name__}: no linear layers found in {roots[0][0]}")
    return list(dict.fromkeys(paths))


def _language_root(model: Any) -> tuple[str, Any]:
    found = submodule(model, LANGUAGE)
    if found is not None:
        return found
    vision = submodule(model, VISION)
    body = getattr(model, "model", None) or getattr(model, "transformer", None)
    if vision is not None or body is None:
        raise InputError(
            f"{type(model).__name__}: cannot tell its language model from its vision tower "
            f"(looked for {', '.join(LANGUAGE)}); this architecture is not supported"
        )
    return ("model" if getattr(model, "model", None) is body else "transformer"), body


def _is_linear(module: Any) -> bool:
    from torch import nn
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer

    return isinstance(module, nn.Linear | Conv1D)


def _plain(path: str) -> str:
    return path.removesuffix(".base_layer")


def target_regex(paths: Iterable[str]) -> str:
    """A pattern that matches exactly `paths` under `re.fullmatch`, short because layers share their structure.

    PEFT matches a *list* by name suffix, which also hits the vision tower, but a string by full match.
    """
    layers: dict[tuple[str, str], list[str]] = defaultdict(list)
    plain: list[str] = []
    for path in paths:
        match = re.match(r"(.+?)\.(\d+)\.(.+)$", path)
        if match is None:
            plain.append(re.escape(path))
        else:
            layers[match[1], match[3]].append(match[2])
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (head, tail), numbers in layers.items():
        alike[head, tuple(numbers)].append(tail)
    grouped = [
        rf"{re.escape(head)}\.(?:{'|'.join(numbers)})\.(?:{'|'.join(map(re.escape, tails))})"
        for (head, numbers), tails in alike.items()
    ]
    return "|".join(f"(?:{part})" for part in grouped + plain)
