"""Several LoRA adapters as one: factors side by side, so that the changes of the weights add up exactly."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoise.base import InputError, read_json, write_json

if TYPE_CHECKING:
    from torch import Tensor


def sum_adapters(folders: Sequence[Path], out: Path) -> None:
    """Write the adapter with delta W = sum_i delta W_i. Ranks add up; scales go into B.

    Raises InputError when they are on other layers, or are no plain LoRA.
    """
    import torch
    from safetensors.torch import load_file, save_file

    configs = [_config(folder) for folder in folders]
    tensors = [load_file(folder / "adapter_model.safetensors") for folder in folders]
    if any(each.keys() != tensors[0].keys() for each in tensors):
        raise InputError(f"merge: {folders[0]} and the others are on different layers; train them alike")
    made: dict[str, Tensor] = {}
    for name in tensors[0]:
        if ".lora_A." in name:
            made[name] = torch.cat([each[name] for each in tensors]).contiguous()
        elif ".lora_B." in name:
            scaled = [each[name] * (c["lora_alpha"] / c["r"]) for each, c in zip(tensors, configs, strict=True)]
            made[name] = torch.cat(scaled, dim=1).contiguous()
        else:
            raise InputError(f"merge: {name}: not a LoRA factor")
    rank = sum(int(config["r"]) for config in configs)
    out.mkdir(parents=True, exist_ok=True)
    save_file(made, out / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(out / "adapter_config.json", configs[0] | {"r": rank, "lora_alpha": rank})


def _config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "adapter_config.json")
    if config.get("peft_type") != "LORA" or config.get("use_rslora") or config.get("use_dora"):
        raise InputError(f"{folder}: not a plain LoRA adapter; DUO's are")
    return dict(config)
