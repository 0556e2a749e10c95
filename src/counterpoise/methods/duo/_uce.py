"""UCE, unified concept editing (Gandikota et al., WACV 2024, arXiv 2308.14761): a baseline of DUO, in closed form.

Every layer that reads the prompt (keys and values of cross-attention) is solved anew so that the state c of an erased
prompt gives what the guide's state gave, and kept prompts give what they gave:
W = (l W_0 + sum_e v_e c_e^T + sum_p W_0 c_p c_p^T)(l I + sum_e c_e c_e^T + sum_p c_p c_p^T)^-1, v_e = W_0 c_guide.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import InputError, write_json

from .._knobs import Knob
from .._outcome import AlignResult, claim, write_run
from .._registry import method
from .._sources import Overlaps
from ._duo import load

if TYPE_CHECKING:
    from torch import Tensor

    from counterpoise.models.diffusion import Diffusion


class UCEConfig(BaseModel):
    """What to erase and what to keep."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    prompts: tuple[str, ...] = Field(min_length=1)
    """Prompts of the concept; the state of each one's last word is mapped."""
    guide: str = ""
    """The prompt whose state they get."""
    keep: tuple[str, ...] = ()
    """Prompts that give what they gave."""
    ridge: float = Field(default=0.5, gt=0)
    """lambda: how strongly all other states are held."""


def edited(weight: "Tensor", erase: "Tensor", guide: "Tensor", keep: "Tensor", ridge: float) -> "tuple[Tensor, Tensor]":
    """The change of one layer as two factors, B (out, E) and A (E, in), with W = W_0 + B A, exactly.

    `weight` (out, in); `erase` (E, in) states of erased prompts, `guide` (in,) of the guide, `keep` (P, in). The
    published formula is W_0 plus (sum_e (v_e - W_0 c_e) c_e^T) M^-1, M the right-hand matrix, whose rank is at most E.
    Float64.
    """
    import torch

    w, c, g, p = (each.double() for each in (weight, erase, guide, keep))
    middle = ridge * torch.eye(w.shape[1], dtype=torch.float64) + c.T @ c + p.T @ p
    change = (w @ g)[:, None] - w @ c.T
    return change, torch.linalg.solve(middle, c.T).T


@method(
    "uce",
    title="UCE: unified concept editing",
    paper="Gandikota et al., Unified Concept Editing in Diffusion Models, WACV 2024, arXiv 2308.14761",
    source="https://github.com/rohitgandikota/unified-concept-editing",
    licence="MIT (nothing was copied)",
    config=UCEConfig,
    knobs=(Knob("ridge", "hold on all else", "number", "falling", grid=(2.0, 1.0, 0.5, 0.1)),),
    load=load,
)
def align(
    loaded: "Diffusion", config: UCEConfig, out: Path, *, resume: bool = True, overlaps: Overlaps | None = None
) -> AlignResult:
    """Make a text-to-image model read a prompt as another one, in closed form and in seconds. Nothing is trained.

    Erases by prompt: another wording, or a picture to start from, may bring the concept back. Writes `out/adapter/`,
    an adapter of the rank of the erased prompts that equals the edit exactly, and `out/run.json`.
    """
    from safetensors.torch import save_file

    from counterpoise.models import read_artifact

    started = time.monotonic()
    claim(out, "uce", loaded, config, resume=resume)
    pattern = loaded.cross_attention.replace(r"(to_q|to_k|to_v|to_out\.0)", "(to_k|to_v)")
    layers = loaded.layers(pattern) if loaded.cross_attention else {}
    if not layers:
        raise InputError(f"{loaded.name}: UCE is for models with cross-attention, such as SD1.x")
    erase, keep = states(loaded, config.prompts), states(loaded, config.keep)
    guide = states(loaded, (config.guide,))[0]
    made = {}
    for name, layer in layers.items():
        b, a = edited(layer.weight.detach().cpu(), erase, guide, keep, config.ridge)
        made[f"base_model.model.{name}.lora_A.weight"] = a.float().contiguous()
        made[f"base_model.model.{name}.lora_B.weight"] = b.float().contiguous()
    if not any(bool(value.any()) for name, value in made.items() if ".lora_B." in name):
        raise InputError("uce: the guide's state is that of the erased prompt: nothing would change")
    folder, rank = out / "adapter", len(erase)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(made, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "adapter_config.json", {
        "peft_type": "LORA", "r": rank, "lora_alpha": rank, "lora_dropout": 0.0, "bias": "none",
        "target_modules": sorted(layers), "base_model_name_or_path": loaded.name,
    })  # fmt: skip
    return write_run(
        out, method="uce", loaded=loaded, config=config, artifact=read_artifact(folder),
        data={"erased": list(config.prompts), "kept": list(config.keep)}, train={"layers": len(layers)},
        timings={"edit": time.monotonic() - started},
    )  # fmt: skip


def states(loaded: "Diffusion", prompts: tuple[str, ...]) -> "Tensor":
    """The state of each prompt's last word, (N, d): of an empty prompt its first state."""
    import torch

    condition = loaded.encode_prompts(list(prompts) or [""])["encoder_hidden_states"].detach().cpu()
    if not prompts:
        return condition[:0, 0]
    return torch.stack([row[loaded.last_word(prompt)] for row, prompt in zip(condition, prompts, strict=True)])
