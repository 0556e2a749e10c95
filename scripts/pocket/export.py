"""Turn a PEFT adapter (and a trained connector) into the part that the repository ships.

python scripts/pocket/export.py ADAPTER_DIR OUT.safetensors
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

PREFIX = "base_model.model."


def factors(folder: Path) -> dict[str, torch.Tensor]:
    """`<module path>.A` and `.B` (scale folded into B), and connector tensors, in fp16."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    scale = config["lora_alpha"] / config["r"]
    out: dict[str, torch.Tensor] = {}
    for name, value in load_file(folder / "adapter_model.safetensors").items():
        bare = name.removeprefix(PREFIX)
        if ".lora_A." in bare:
            out[bare.split(".lora_A.")[0] + ".A"] = value
        elif ".lora_B." in bare:
            out[bare.split(".lora_B.")[0] + ".B"] = value * scale
        elif ".connector." in bare:
            out["model.connector." + bare.split(".connector.")[1].replace("modules_to_save.default.", "")] = value
        else:
            raise SystemExit(f"{folder}: unexpected tensor {name}")
    return {name: value.to(torch.float16).contiguous() for name, value in out.items()}


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("adapter", type=Path), args.add_argument("out", type=Path)
    a = args.parse_args()
    part = factors(a.adapter)
    save_file(part, a.out)
    print(f"{len(part)} tensors, {a.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
