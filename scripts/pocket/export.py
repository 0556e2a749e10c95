"""Turn a PEFT adapter (and a trained connector) into the part that the repository ships.

    python scripts/pocket/export.py ADAPTER_DIR OUT.safetensors [--rank 8] [--onto PART.safetensors]

With --rank, each update B A is replaced by the nearest one of that rank (its largest singular values); what share of
the updates' squared length that keeps is said. With --onto, the adapter was trained on top of that part: both updates
are joined, of the modules that the adapter has; those that it leaves alone, and a connector that it has not, go back to
what they were before the part.
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


def joined(part: dict[str, torch.Tensor], below: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Factors of the sum of two updates: B A + D C = [B D] [A; C]."""
    out = dict(part)
    for name in (key.removesuffix(".A") for key in part if key.endswith(".A")):
        if name + ".A" in below:
            out[name + ".A"] = torch.cat([below[name + ".A"], part[name + ".A"]]).contiguous()
            out[name + ".B"] = torch.cat([below[name + ".B"], part[name + ".B"]], dim=1).contiguous()
    return out


def reduced(part: dict[str, torch.Tensor], rank: int) -> tuple[dict[str, torch.Tensor], float]:
    """(the part with factors of at most `rank`, share of the squared Frobenius norm of all updates that is kept)."""
    out, kept, whole = dict(part), 0.0, 0.0
    for name in (key.removesuffix(".A") for key in part if key.endswith(".A")):
        # B A = Q_b (R_b R_a') Q_a': singular values of a matrix as small as the old rank
        q_b, r_b = torch.linalg.qr(part[name + ".B"].double())
        q_a, r_a = torch.linalg.qr(part[name + ".A"].double().T)
        u, s, v = torch.linalg.svd(r_b @ r_a.T)
        n = min(rank, len(s))
        root = s[:n].sqrt()
        out[name + ".B"] = (q_b @ u[:, :n] * root).to(torch.float16).contiguous()
        out[name + ".A"] = (root[:, None] * (v[:n] @ q_a.T)).to(torch.float16).contiguous()
        kept, whole = kept + float(s[:n].square().sum()), whole + float(s.square().sum())
    return out, kept / whole if whole else 1.0


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("adapter", type=Path), args.add_argument("out", type=Path)
    args.add_argument("--rank", type=int, help="at most so many factors a module")
    args.add_argument("--onto", type=Path, help="part below the adapter, to be joined where the adapter has factors")
    a = args.parse_args()
    part = factors(a.adapter)
    if a.onto:
        below = load_file(a.onto)
        left = sorted(name for name in below if name not in part)
        print(f"left behind of {a.onto.name}: {len(left)} tensors" + f", such as {left[0]}" * bool(left))
        part = joined(part, below)
    if a.rank:
        part, share = reduced(part, a.rank)
        print(f"rank {a.rank} keeps {share:.1%} of the updates")
    save_file(part, a.out)
    print(f"{len(part)} tensors, {a.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
