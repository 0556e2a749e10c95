"""From a plan of parameter groups to a model that carries them: which modules and parameters each group means, how its
adapter is set up, where its first values come from. `Trainable` puts the pieces on and takes them off again."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from counterpoise.base import InputError, read_json
from counterpoise.models import (
    Loaded,
    connector_modules,
    decoder_layers,
    find_folder,
    language_root,
    lora_targets,
    target_regex,
)

from ._artifact import joinable, load_head
from ._groups import Group, Head, Layers, Lora, Projector


def check(loaded: Loaded, groups: Sequence[Group]) -> None:
    """Raises InputError for a plan or a model that cannot be trained."""
    if loaded.peft is not None or hasattr(loaded.model, "peft_config"):
        raise InputError(
            f"{loaded.name}: already carries the adapter {loaded.adapter}; load it merged (merge=True), or train "
            "the base"
        )
    edited = loaded.artifact is not None and loaded.artifact.kind == "edit"
    if loaded.edit is not None or (edited and any(isinstance(group, Lora) for group in groups)):
        raise InputError(
            f"{loaded.name}: carries the edit {getattr(loaded.artifact, 'path', '')}, which an adapter's base would "
            "lack; merge the edit and save its weights to train on those, or train the base"
        )
    if loaded.steering is not None:
        raise InputError(
            f"{loaded.name}: is steered by {getattr(loaded.artifact, 'path', '')}, which training would not keep; "
            "train the base"
        )
    if loaded.adapter is not None:
        joinable(Path(loaded.adapter), loaded.model)
    for kind in (Lora, Head):
        names = [group.name for group in groups if isinstance(group, kind)]
        if len(set(names)) < len(names):
            raise InputError(f"parameter groups: two are called {max(names, key=names.count)!r}")
    if all(getattr(group, "frozen", False) for group in groups):
        raise InputError("parameter groups: nothing is trained; add a group that is not frozen")
    known = [group.name for group in groups if isinstance(group, Lora)]
    for group in groups:
        role = getattr(group, "role", None)
        if role is not None and role not in known:
            raise InputError.unknown("role", role, known)


def full_paths(inner: Any, group: Group, beside_lora: bool) -> list[str]:
    """Paths of the modules that a group trains in full. Raises InputError for a path that the model has not."""
    if isinstance(group, Projector):
        if not (paths := connector_modules(inner)):
            raise InputError(f"{type(inner).__name__}: has no projector between vision encoder and language model")
        return paths
    if not isinstance(group, Layers):
        return []
    known = dict(inner.named_modules())
    paths = []
    for path in group.modules:
        if path not in known and path in ("all", "language_model"):
            path = language_root(inner) if path == "language_model" else ""
        if path not in known or (path == "" and beside_lora):
            near = ", ".join(get_close_matches(path, known, n=3)) or "see model.named_modules()"
            raise InputError(f"{type(inner).__name__}: cannot train {path or 'all'!r} in full; modules: {near}")
        paths.append(path)
    return paths


def role_of(group: Group, loras: Sequence[Lora]) -> str:
    """The LoRA group that carries a group's trained copies; "" when weights are trained in place."""
    return getattr(group, "role", None) or (loras[0].name if loras else "")


def adapter_config(loaded: Loaded, group: Lora, full: Sequence[str]) -> tuple[Any, list[str], list[str]]:
    """PEFT's config of a LoRA group beside `full` modules; these modules, with those of the group's `start` folder; and
    the targets of new factors."""
    from peft import LoraConfig, PeftConfig

    inner, full = loaded.model, list(full)
    targets: list[str] = []
    if group.start:
        config = PeftConfig.from_pretrained(str(group.start))
        config.lora_dropout = 0.0 if group.frozen else config.lora_dropout
        named = tuple(config.modules_to_save or ())
        full += [name for name, _ in inner.named_modules() if name.endswith(named) and named]
        config.modules_to_save = list(dict.fromkeys(full)) or None
    else:
        targets = [
            path
            for path in _from_block(inner, group.targets or lora_targets(inner), group.layers_from)
            if not any(f"{path}.".startswith(f"{module}.") for module in full)
        ]
        config = LoraConfig(
            r=group.rank, lora_alpha=group.alpha, lora_dropout=group.dropout,
            target_modules=target_regex(targets), modules_to_save=full or None, task_type="CAUSAL_LM",
        )  # fmt: skip
    config.base_model_name_or_path = base_name(loaded)
    config.inference_mode = False
    return config, full, targets


def _from_block(inner: Any, paths: Sequence[str], first: int) -> list[str]:
    """Those of the paths that lie in the language model's blocks from `first` on; all of them from 0 on. Raises
    InputError when there is no such block, or none of the paths lies there."""
    if not first:
        return list(paths)
    blocks = decoder_layers(inner)
    if first >= len(blocks):
        raise InputError(
            f"layers_from {first}: {type(inner).__name__} has {len(blocks)} blocks, 0 to {len(blocks) - 1}"
        )
    inside = {id(module) for block in blocks[first:] for module in block.modules()}
    found = [path for path in paths if id(inner.get_submodule(path)) in inside]
    if not found:
        raise InputError(f"layers_from {first}: none of the targets lies in a block from there on")
    return found


def base_name(loaded: Loaded) -> str:
    """What `load` finds again as the base of an adapter trained on this model, with an earlier adapter joined to it."""
    if loaded.artifact is not None and loaded.artifact.kind == "weights":
        return loaded.path
    if loaded.adapter is not None and find_folder(loaded.name) == Path(loaded.adapter):  # loaded by its adapter's name
        return str(read_json(Path(loaded.adapter) / "adapter_config.json")["base_model_name_or_path"])
    return loaded.name


def load_start(peft: Any, group: Lora) -> None:
    """Fill a LoRA group from its `start` folder. Raises InputError unless every tensor found its place."""
    mapping = getattr(peft.get_base_model(), "_checkpoint_conversion_mapping", {})
    try:
        result = peft.load_adapter(
            str(group.start), group.name, is_trainable=not group.frozen, key_mapping=mapping or None
        )
    except (ValueError, RuntimeError, KeyError, OSError, TypeError) as error:
        raise InputError(f"{group.start}: does not fit as start of {group.name!r}: {str(error)[:200]}") from error
    if wrong := [*result.unexpected_keys, *result.missing_keys]:
        raise InputError(f"{group.start}: does not fit as start of {group.name!r}: {', '.join(wrong[:3])}")


def head_layer(loaded: Loaded, group: Head, seed: int) -> nn.Linear:
    """A new head, N(0, 1/(H+1)) as is usual for reward models, or the one of an earlier training."""
    width = loaded.model.config.get_text_config().hidden_size
    torch.manual_seed(seed)
    layer = nn.Linear(width, group.outputs, bias=False, device=loaded.device)
    nn.init.normal_(layer.weight, std=(width + 1) ** -0.5)
    if group.start:
        load_head(group.start, group.name, layer)
    return layer


def owners(names: Iterable[str], groups: Sequence[Group], paths: Sequence[Sequence[str]]) -> dict[str, Group]:
    """Name of each trained parameter of a `Trainable` -> its group, whose full modules are at `paths`."""
    names, found = list(names), dict[str, Group]()
    loras = [group for group in groups if isinstance(group, Lora)]
    for group, own in zip(groups, paths, strict=True):
        if not getattr(group, "frozen", False):
            found |= {name: group for name in names if _belongs(name, group, own, role_of(group, loras))}
    return found


def _belongs(name: str, group: Group, paths: Sequence[str], role: str) -> bool:
    if isinstance(group, Head):
        return name.startswith(f"heads.{group.name}.")
    if isinstance(group, Lora):
        return ".lora_" in name and f".{group.name}." in name
    if not role:
        return any(f"{name}.".startswith(f"model.{path}." if path else "model.") for path in paths)
    place, copied, _ = name.partition(f".modules_to_save.{role}.")
    return bool(copied) and place.removeprefix("model.base_model.model.") in paths


def blocks_to_shard(inner: Any) -> list[str]:
    """Classes of what FSDP shards one by one: blocks of the language model only. Those of the vision encoder run where
    a process has images, and processes that gather different blocks wait for each other for ever."""
    parts = list(inner.get_submodule(language_root(inner)).modules())
    blocks = {name for part in (inner, *parts) for name in getattr(part, "_no_split_modules", None) or ()}
    return sorted(blocks.intersection(type(part).__name__ for part in parts))
