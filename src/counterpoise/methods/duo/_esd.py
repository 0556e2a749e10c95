"""ESD, erased stable diffusion (Gandikota et al., ICCV 2023, arXiv 2303.07345): a baseline of DUO, by prompt.

A noisy picture is drawn part of the way from the concept's prompt; there the network learns to predict, told the
prompt, what the frozen one predicts when it is led away from it: e_0(x, none) - eta (e_0(x, c) - e_0(x, none)).
"""

import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from counterpoise.base import InputError

from .._knobs import Knob, Size
from .._outcome import AlignResult, write_run
from .._registry import method
from .._sources import Overlaps
from ._duo import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from counterpoise.models.diffusion import Diffusion


class ESDConfig(BaseModel):
    """What to erase. Defaults: the paper's for Stable Diffusion 1.4, with LoRA factors in place of whole layers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    prompts: tuple[str, ...] = Field(min_length=1)
    """Prompts of the concept."""
    variant: Literal["x", "u"] = "x"
    """`x`: cross-attention, which reads the prompt. `u`: self-attention, which does not: erases also what the prompt
    does not name."""
    eta: float = Field(default=1.0, gt=0)
    """How far the target is led away from the concept."""
    guidance: float = 3.0
    """Of the partial sampling."""
    draw_steps: int = Field(default=50, ge=2)
    """Denoising steps of a whole drawing; a random part of them is taken."""
    steps: int = Field(default=200, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(default=1, ge=1)
    """Pictures a step."""
    learning_rate: float = Field(default=5e-5, gt=0)
    """Constant rate of AdamW."""
    rank: int = Field(default=32, ge=1)
    """Rank of the LoRA factors; alpha equals it."""
    seed: int = 0
    """Factors, noise, where the sampling stops."""


@method(
    "esd",
    title="ESD: erased stable diffusion",
    paper="Gandikota et al., Erasing Concepts from Diffusion Models, ICCV 2023, arXiv 2303.07345",
    source="https://github.com/rohitgandikota/erasing",
    licence="MIT (nothing was copied)",
    config=ESDConfig,
    knobs=(Knob("steps", "optimizer steps", "rows"),),
    size=lambda config: Size(config.steps * config.batch_size, 1, 1.0),
    load=load,
)
def align(
    loaded: "Diffusion", config: ESDConfig, out: Path, *, resume: bool = True, overlaps: Overlaps | None = None
) -> AlignResult:
    """Make a text-to-image model forget what a prompt names, by leading it away from the prompt's own direction.

    Needs no pictures. Erases by prompt: another wording, or a picture to start from, may bring the concept back. Models
    of flow matching (SD3) are not covered by the paper and are refused. Writes `out/adapter/` and `out/run.json`.
    """
    import torch

    from counterpoise.models import read_artifact
    from counterpoise.models.diffusion import Discrete, add_lora, without_adapter

    from ._train import run_steps

    started = time.monotonic()
    if not isinstance(loaded.scheme, Discrete) or not loaded.cross_attention:
        raise InputError(f"{loaded.name}: ESD is for models with timesteps and cross-attention, such as SD1.x")
    loaded.encode_prompts(config.prompts)  # a word that it does not know is said before the training
    pattern = loaded.cross_attention if config.variant == "x" else loaded.self_attention
    add_lora(loaded, pattern, rank=config.rank, alpha=config.rank, seed=config.seed)

    def step(generator: "torch.Generator") -> "tuple[Tensor, Mapping[str, float]]":
        n = config.batch_size
        places = torch.randint(len(config.prompts), (n,), generator=generator).tolist()
        told = loaded.encode_prompts([config.prompts[place] for place in places])
        free = loaded.encode_prompts([""] * n)
        stop = int(torch.randint(1, config.draw_steps, (1,), generator=generator))
        x, level = partly_drawn(loaded, told, free, config.guidance, config.draw_steps, stop, generator)
        with torch.no_grad(), without_adapter(loaded):
            blank, concept = loaded.predict(x, level, free), loaded.predict(x, level, told)
        loss = (loaded.predict(x, level, told) - (blank - config.eta * (concept - blank))).square().mean()
        return loss, {"distance": float((concept - blank).square().mean())}

    identity = {"config": config.model_dump(mode="json"), "model": loaded.fingerprint}
    facts = run_steps(
        loaded, step, out / "training", title="esd", steps=config.steps, learning_rate=config.learning_rate,
        weight_decay=0.0, seed=config.seed, identity=identity, resume=resume,
    )  # fmt: skip
    loaded.net.save_pretrained(out / "adapter", safe_serialization=True)
    return write_run(
        out, method="esd", loaded=loaded, config=config, artifact=read_artifact(out / "adapter"),
        data={"prompts": list(config.prompts)}, train=facts, timings={"train": time.monotonic() - started},
    )  # fmt: skip


def partly_drawn(
    loaded: "Diffusion",
    told: "Mapping[str, Tensor]",
    free: "Mapping[str, Tensor]",
    guidance: float,
    steps: int,
    stop: int,
    generator: "torch.Generator",
) -> "tuple[Tensor, Tensor]":
    """The noisy pictures after `stop` of `steps` denoising steps of DDIM with guidance, and their level (B,): what the
    model's own sampler passes through."""
    import torch

    from counterpoise.models.diffusion import Discrete

    scheme = loaded.scheme
    assert isinstance(scheme, Discrete)  # the caller has checked it
    n = len(next(iter(told.values())))
    x = torch.randn((n, *loaded.shape), generator=generator).to(loaded.device)
    grid = torch.linspace(1, 0, steps + 1)
    for now, then in pairwise(grid[: stop + 1]):
        level = now.repeat(n)
        with torch.no_grad():
            blank = loaded.predict(x, level, free)
            made = blank + guidance * (loaded.predict(x, level, told) - blank)
        a = scheme.alphas.to(x)[scheme.step(level)].view(-1, 1, 1, 1)
        b = scheme.alphas.to(x)[scheme.step(then.repeat(n))].view(-1, 1, 1, 1)
        if scheme.prediction == "epsilon":
            noise, clean = made, (x - (1 - a).sqrt() * made) / a.sqrt()
        else:
            noise, clean = a.sqrt() * made + (1 - a).sqrt() * x, a.sqrt() * x - (1 - a).sqrt() * made
        if loaded.bound is not None:  # pure noise tells next to nothing of the clean image: unclipped, it explodes
            clean = clean.clamp(-loaded.bound, loaded.bound)
        x = b.sqrt() * clean + (1 - b).sqrt() * noise
    return x, grid[stop].repeat(n)
