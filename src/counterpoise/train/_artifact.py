"""What a training leaves behind: an adapter folder or a folder of weights, written whole or not at all.

An adapter that was trained on a *merged* adapter (SFT, then DPO) is joined with it, so that the result is one ordinary
adapter of the base model: with delta_i = s_i B_i A_i, the sum is [s_1 B_1, s_2 B_2] [A_1; A_2], of rank r_1 + r_2.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from counterpoise.base import Artifact, InputError, read_json, write_json
from counterpoise.models import fingerprint, save_base, target_regex

from ._distributed import Processes, full

if TYPE_CHECKING:
    from ._trainable import Trainable

HEADS = "heads.safetensors"
FACTOR = ".lora_A.weight"


def save_artifact(
    trainable: "Trainable", values: dict[str, Tensor], out: Path, processes: Processes, *, further: bool = True
) -> Artifact:
    """Write what was trained and return the plan's first trained part. All processes must call it.

    `out/adapter/` holds the first trained LoRA group with its projector, layers and all heads; `out/roles/NAME/` every
    `further` one; `out/weights/` the whole model when nothing of it is LoRA. Values of an adapter are float32.
    """
    if not trainable.loras:
        everything = {name: full(p) for name, p in trainable.named_parameters()} if processes.sharded else values
        if processes.main:
            _whole(out / "weights", lambda part: _save_weights(trainable, everything, part))
        processes.wait()
        return Artifact("weights", out / "weights", fingerprint(out / "weights", None, {}))
    roles = [group.name for group in trainable.loras if not group.frozen] or [trainable.loras[0].name]
    roles = roles if further else roles[:1]
    folders = [out / "adapter", *(out / "roles" / role for role in roles[1:])]
    if processes.main:
        for role, folder in zip(roles, folders, strict=True):
            _whole(folder, lambda part, role=role: _save_adapter(trainable, values, role, part))
    processes.wait()
    return Artifact("adapter", folders[0], fingerprint(folders[0], None, {}))


def _whole(folder: Path, write: Any) -> None:
    """Complete under a temporary name first, then renamed."""
    part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    try:
        part.mkdir(parents=True)
        write(part)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot write ({error.strerror or error}); free some space, the run resumes from its checkpoint"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _save_adapter(trainable: "Trainable", values: dict[str, Tensor], role: str, part: Path) -> None:
    """An ordinary PEFT adapter folder, with the heads beside it."""
    state = {name.removeprefix("model."): value for name, value in values.items()}
    state |= {name: buffer for name, buffer in trainable.model.named_buffers() if ".modules_to_save." in name}
    # "auto" would ask the hub for the base model's config
    trainable.model.save_pretrained(part, selected_adapters=[role], state_dict=state, save_embedding_layers=False)
    if (part / role).is_dir():  # PEFT gives every name but "default" a folder of its own
        for file in (part / role).iterdir():
            file.rename(part / file.name)
        (part / role).rmdir()
    (part / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    if trainable.loaded.adapter is not None:
        join(Path(trainable.loaded.adapter), part)
    _save_heads(trainable, values, part)
    save_base(part, Path(trainable.loaded.path))  # another checkpoint may have the same shapes


def _save_heads(trainable: "Trainable", values: dict[str, Tensor], part: Path) -> None:
    from safetensors.torch import save_file

    weights = {name: layer.get_parameter("weight") for name, layer in trainable.heads.items()}
    heads = {f"{name}.weight": values.get(f"heads.{name}.weight", weight) for name, weight in weights.items()}
    if heads:
        save_file({name: value.detach().cpu().contiguous() for name, value in heads.items()}, part / HEADS)


def save_heads(folder: Path, heads: Mapping[str, Tensor]) -> None:
    """Write heads by themselves, as `load_head` reads them: (outputs, H) weights by name."""
    from safetensors.torch import save_file

    save_file({f"{name}.weight": value.detach().cpu().contiguous() for name, value in heads.items()}, folder / HEADS)


def load_head(folder: Path, name: str, layer: nn.Linear) -> None:
    """Fill a head from the folder of an earlier training. Raises InputError when it is not there or of another size."""
    from safetensors.torch import load_file

    if not (folder / HEADS).is_file():
        raise InputError(f"{folder}: holds no {HEADS}; give the folder of a training with a head")
    found = load_file(folder / HEADS)
    if f"{name}.weight" not in found:
        raise InputError.unknown("head", name, [key.removesuffix(".weight") for key in found])
    value = found[f"{name}.weight"]
    if value.shape != layer.weight.shape:
        raise InputError(
            f"{folder}: head {name!r} is {tuple(value.shape)}, this model needs {tuple(layer.weight.shape)}"
        )
    with torch.no_grad():
        layer.weight.copy_(value)


def _save_weights(trainable: "Trainable", values: dict[str, Tensor], part: Path) -> None:
    """An ordinary model folder in the type the model was loaded in."""
    inner, loaded = trainable.get_base_model(), trainable.loaded
    kind = getattr(torch, loaded.dtype)
    state: dict[str, Tensor] = dict(inner.state_dict())
    state |= {name.removeprefix("model."): v for name, v in values.items() if not name.startswith("heads.")}
    state = {name: v.to(kind) if v.is_floating_point() else v for name, v in state.items()}
    inner.save_pretrained(part, state_dict=state)
    (loaded.processor or loaded.tokenizer).save_pretrained(part)
    _save_heads(trainable, values, part)


def joinable(folder: Path, model: Any) -> None:
    """Raises InputError unless a merged adapter can be joined with one that is trained on top of it."""
    config = read_json(folder / "adapter_config.json")
    odd = [key for key in ("use_dora", "lora_bias", "trainable_token_indices", "layer_replication") if config.get(key)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or odd:
        raise InputError(
            f"{folder}: {', '.join(odd) or config.get('peft_type')} cannot be joined with a second adapter; save the "
            "merged weights and train on those"
        )
    from safetensors import safe_open

    known = {name for name, _ in model.named_modules()}
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        lost = [name for name in file.keys() if FACTOR in name and _module(name) not in known]  # noqa: SIM118
    if lost:
        raise InputError(
            f"{folder}: has modules that this model has not ({lost[0]}); save the merged weights and train on those"
        )


def join(earlier: Path, folder: Path) -> None:
    """Make the adapter in `folder`, trained on weights that `earlier` was merged into, one adapter with it."""
    from safetensors.torch import load_file, save_file

    configs = [read_json(place / "adapter_config.json") for place in (earlier, folder)]
    tensors = [load_file(place / "adapter_model.safetensors") for place in (earlier, folder)]
    modules = {name.removesuffix(FACTOR) for found in tensors for name in found if name.endswith(FACTOR)}
    # what was trained in full replaces what was
    joined = {name: v for found in tensors for name, v in found.items() if ".lora_" not in name}
    ranks: dict[str, int] = {}
    for name in sorted(modules):
        pairs = []
        for config, found in zip(configs, tensors, strict=True):
            if (a := found.get(f"{name}{FACTOR}")) is not None:
                b = found[f"{name}.lora_B.weight"].float() * _scale(config, _module(name + FACTOR), a.shape[0])
                pairs.append((a.float(), b))
        joined[f"{name}{FACTOR}"] = torch.cat([a for a, _ in pairs])
        joined[f"{name}.lora_B.weight"] = torch.cat([b for _, b in pairs], dim=1).contiguous()
        ranks[_module(name + FACTOR)] = len(joined[f"{name}{FACTOR}"])
    most = max(ranks.values())
    others = {path: rank for path, rank in ranks.items() if rank != most}
    copies = [path for config in configs for path in config.get("modules_to_save") or []]
    config = configs[1] | {
        "r": most, "lora_alpha": most, "use_rslora": False, "rank_pattern": others, "alpha_pattern": others,
        "target_modules": target_regex(sorted(ranks)), "modules_to_save": list(dict.fromkeys(copies)) or None,
        "lora_dropout": 0.0,
    }  # fmt: skip
    save_file(joined, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "adapter_config.json", config)


def _module(tensor: str) -> str:
    """The module path inside the model that a tensor of an adapter belongs to."""
    return tensor.removesuffix(FACTOR).removeprefix("base_model.model.")


def _scale(config: dict[str, Any], module: str, rank: int) -> float:
    """alpha / r (or alpha / sqrt(r)) of one module, whose alpha may be set by a pattern."""
    from peft.utils.other import get_pattern_key

    patterns = config.get("alpha_pattern") or {}
    alpha = float(patterns.get(get_pattern_key(patterns.keys(), module), config["lora_alpha"]))
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)
