"""The parts of a model by module path: language model, vision encoder, connector, output layer, LoRA targets.

Every part comes from transformers' own accessors (`get_decoder`, `get_encoder`, `get_output_embeddings`), which each
architecture answers for itself. No accessor names the connector: it is what the forward pass uses that is neither
vision encoder nor language model nor output layer.
"""

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any

from torch import Tensor, nn

from counterpoise.base import InputError

_OTHER_SENSES = ("get_audio_features", "get_video_features")  # methods that lead to parts no image passes through


def language_root(model: Any) -> str:
    """Path of the language model ("" when it is the whole model).

    It may hold the output layer, as in Llama 4 and BLIP-2. Raises InputError when the vision encoder lies inside it:
    the two cannot be told apart then (GIT, the first Idefics).
    """
    model = _plain_model(model)
    path = _path(model, model.get_decoder())
    inside = [tower for tower in _towers(model) if _under(tower, path)]
    if inside:
        raise InputError(
            f"{type(model).__name__}: its vision encoder ({inside[0]}) is part of its language model "
            f"({path or 'the whole model'}); this architecture is not supported"
        )
    return path


def vision_root(model: Any) -> str | None:
    """Path of the vision encoder, or None for a model without one. Qwen-VL's encoder holds its connector."""
    return next(iter(_towers(_plain_model(model))), None)


def output_layer(model: Any) -> str | None:
    """Path of the layer whose outputs are the logits, or None when the model has none."""
    model = _plain_model(model)
    head = model.get_output_embeddings()
    return None if head is None else _path(model, head)


def connector_modules(model: Any) -> list[str]:
    """Paths of all modules between vision encoder and language model, in order; empty without images.

    They are the children of whatever holds encoder and language model that have weights and that the forward pass
    uses. Where there are none, the encoder holds the connector: its linear layers behind the last transformer block
    (the mergers of Qwen-VL and GLM-V). Items of a ModuleList are named one by one, as PEFT's `modules_to_save` needs.
    """
    model = _plain_model(model)
    towers, language = _towers(model), language_root(model)
    if not _takes_images(model):
        return []
    roots, head = [language, *towers], output_layer(model) or language
    owners = [name for name, _ in model.named_modules() if any(_under(root, name) and root != name for root in roots)]
    found: list[str] = []
    for owner in owners:
        if _under(owner, language) or any(_under(owner, tower) for tower in towers):
            continue
        module = model.get_submodule(owner)
        for name, child in module.named_children():
            path = f"{owner}.{name}".lstrip(".")
            apart = any(_under(part, path) for part in (*roots, head))
            if not apart and name in _used(type(module)) and next(child.parameters(), None) is not None:
                found.append(path)
    if not found and towers:
        found = _behind_blocks(model, towers[0])
    return [item for path in found for item in _items(model, path)]


def lora_targets(model: Any, *, include_vision: bool = False, include_connector: bool = False) -> list[str]:
    """Full module paths of all linear layers of the language model (never the output layer), in order.

    Vision encoder and connector only when asked for. Raises InputError when the model's structure is not known, or a
    part that was asked for has no linear layer: a vague name would silently adapt something else.
    """
    model = _plain_model(model)
    language, towers, connector = language_root(model), _towers(model), connector_modules(model)
    named = {"language model": [language]}
    if include_vision:
        named["vision encoder"] = towers
    if include_connector:
        named["connector"] = connector
    barred = [output_layer(model), *([] if include_connector else connector)]
    paths: list[str] = []
    for part, roots in named.items():
        own = [path for root in roots for path in _linear(model, root) if not any(_under(path, b) for b in barred)]
        if not own:
            raise InputError(f"{type(model).__name__}: its {part} ({', '.join(roots) or 'none'}) has no linear layers")
        paths += own
    return list(dict.fromkeys(paths))


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


def dense_head(model: Any) -> None:
    """Make the input of the output layer contiguous before every call.

    A prefill keeps the last position of (B, T, H) only: a strided view. For a weight that needs no gradient (every
    model that an adapter was put on or merged into) `torch.matmul` does not fold such an input into one matrix but
    multiplies B matrices, and on a CPU copies the (V, H) weight B times for it: at V = 49,000 that took longer than all
    other layers together. The copy of (B, 1, H) that avoids it costs nothing.
    """
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(_contiguous)


def _contiguous(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if args and isinstance(args[0], Tensor) and not args[0].is_contiguous():
        return (args[0].contiguous(), *args[1:])
    return None


def _plain_model(model: Any) -> Any:
    """The model itself where a PeftModel is around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _path(model: Any, part: Any) -> str:
    for name, module in model.named_modules(remove_duplicate=False):
        if module is part:
            return str(name)
    raise InputError(f"{type(model).__name__}: names a {type(part).__name__} as its part that is not inside it")


def _under(path: str, root: str | None) -> bool:
    """Whether `path` is `root` or lies inside it."""
    return root is not None and (root == "" or path == root or path.startswith(f"{root}."))


def _takes_images(model: Any) -> bool:
    """Text-only models answer `get_encoder` too, with themselves."""
    return bool(_towers(model)) or "image" in model.input_modalities


def _towers(model: Any) -> list[str]:
    """Paths of the vision encoders that chat uses: the one the model names, then others (DeepSeek-VL's hybrid)."""
    from transformers import PreTrainedModel

    own, decoder = model.get_encoder(modality="image"), model.get_decoder()
    found = [_path(model, own)] if own is not None and own is not model else []
    if found and _under(_path(model, decoder), found[0]):  # the "encoder" is the body that holds both
        found = []
    for name, module in model.named_modules():
        sees = isinstance(module, PreTrainedModel) and module.main_input_name == "pixel_values"
        if not name or not sees or any(_under(name, tower) or _under(tower, name) for tower in found):
            continue
        owner, _, child = name.rpartition(".")
        if child in _used(type(model.get_submodule(owner))):
            found.append(name)
    return found


def _used(cls: type) -> frozenset[str]:
    """Names that a class's forward pass reads: its own, and those of its methods that it calls in turn.

    Janus holds an image generator beside its eyes and Gemma 3n has ears: only what is read here takes part in chat
    about images.
    """
    names: set[str] = set()
    waiting = ["forward"]
    while waiting:
        method = inspect.unwrap(getattr(cls, waiting.pop()))
        read = set(_names(getattr(method, "__code__", None))) - names
        names |= read
        waiting += [
            name
            for name in read
            if name not in _OTHER_SENSES
            and not name.startswith("__")
            and inspect.isfunction(inspect.unwrap(getattr(cls, name, None)))  # type: ignore[arg-type]
        ]
    return frozenset(names)


def _names(code: CodeType | None) -> Iterator[str]:
    """Names read by a function and by the functions written inside it."""
    if code is not None:
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from _names(constant)


def _behind_blocks(model: Any, tower: str) -> list[str]:
    """Children of a vision encoder that follow its last stack of transformer blocks and hold linear layers (or, where
    none does, other matrices)."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    children = list(model.get_submodule(tower).named_children())
    stacks = [
        place
        for place, (_, child) in enumerate(children)
        if any(isinstance(module, GradientCheckpointingLayer) for module in child.modules())
    ]
    last = children[stacks[-1] + 1 :] if stacks else []
    linear = [f"{tower}.{name}" for name, child in last if any(_is_linear(module) for module in child.modules())]
    return linear or [f"{tower}.{name}" for name, child in last if any(p.ndim > 1 for p in child.parameters())]


def _items(model: Any, path: str) -> list[str]:
    module = model.get_submodule(path)
    return [f"{path}.{name}" for name, _ in module.named_children()] if isinstance(module, nn.ModuleList) else [path]


def _linear(model: Any, root: str) -> Iterator[str]:
    for name, layer in model.get_submodule(root).named_modules():
        if _is_linear(layer) and ".lora_" not in f".{name}":
            yield f"{root}.{name}".strip(".").removesuffix(".base_layer")


def _is_linear(module: Any) -> bool:
    """Linear layers, quantised ones and GPT-2's transposed ones included; not a router that only inherits from one."""
    from transformers.pytorch_utils import Conv1D

    if not isinstance(module, nn.Linear | Conv1D):
        return False
    home = next(cls for cls in type(module).__mro__ if "forward" in vars(cls)).__module__
    return not home.startswith(("transformers.models.", "transformers_modules."))
