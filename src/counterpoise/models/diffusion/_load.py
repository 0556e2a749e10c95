"""From a name to a diffusion model, and adapters on it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from counterpoise.base import Artifact, InputError, first_line, read_json, require

from .._artifact import read_artifact
from .._device import place, resolve_dtype
from .._source import find_folder, fingerprint
from ._base import Diffusion
from ._pixel import FILE, load_pixel_model

PIPELINES = ("StableDiffusionPipeline", "StableDiffusion3Pipeline")


def is_diffusion(folder: Path) -> bool:
    """Whether a folder holds a diffusion model."""
    return (folder / FILE).is_file() or (folder / "model_index.json").is_file()


def load_diffusion(
    name: str, *, artifact: Artifact | str | Path | None = None, dtype: str = "auto", device: str = "auto", **_: Any
) -> Diffusion:
    """Load a text-to-image model by folder or hub id: a diffusers pipeline of SD1.x or SD3, or a pixel model of ours.

    Raises InputError for another kind of model, a folder without safetensors, and an adapter that does not act.
    """
    folder = find_folder(name)
    if not is_diffusion(folder):
        raise InputError(f"{name}: no model_index.json there; expected a text-to-image model of diffusers")
    model = _pixel_or_pipeline(name, folder, dtype, device)
    return model if artifact is None else put_adapter(model, artifact)


def _pixel_or_pipeline(name: str, folder: Path, dtype: str, device: str) -> Diffusion:
    if (folder / FILE).is_file():
        return load_pixel_model(name, folder, _hash(folder))
    import torch

    diffusers = require("diffusers", purpose="a diffusion model", install="counterpoise[diffusion]")
    index = read_json(folder / "model_index.json")
    kind = str(index.get("_class_name"))
    if kind not in PIPELINES:
        raise InputError(f"{name}: a {kind}; known are {' and '.join(PIPELINES)}")
    from ._pipeline import PipelineDiffusion

    where = place(device, None)
    options: dict[str, Any] = {"safety_checker": None} if kind == PIPELINES[0] else {}
    options |= {part: None for part, what in index.items() if what == [None, None]}  # saved without it
    try:
        pipe = getattr(diffusers, kind).from_pretrained(
            folder, dtype=getattr(torch, resolve_dtype(dtype, where.device)), use_safetensors=True,
            local_files_only=True, **options,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise InputError(f"{name}: cannot be loaded ({first_line(error)})") from error
    return PipelineDiffusion(name, str(folder), _hash(folder), pipe.to(where.device))


def _hash(folder: Path) -> str:
    """Of all weights below the folder, whatever part they are of."""
    from counterpoise.base import sha256_bytes

    parts = sorted({file.parent for file in folder.rglob("*.safetensors")})
    if not parts:
        raise InputError(f"{folder}: no *.safetensors there; pickled weights are not loaded")
    return sha256_bytes("".join(fingerprint(part, None, {}) for part in parts).encode())[:16]


def add_lora(model: Diffusion, pattern: str, *, rank: int, alpha: float, seed: int) -> None:
    """Put trainable LoRA factors (Gaussian A, zero B) on the layers whose names the pattern matches; freeze the rest.

    Raises InputError when it matches none.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    names = [name for name, module in model.net.named_modules() if re.fullmatch(pattern, name)]
    if not names:
        raise InputError(f"{model.name}: no layer is called {pattern}")
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, init_lora_weights="gaussian", target_modules=names)
    model.net = get_peft_model(model.net, config)


def put_adapter(model: Diffusion, artifact: Artifact | str | Path) -> Diffusion:
    """Put a saved adapter on the network; return the model. Raises InputError for one of another model, or one that
    changes nothing."""
    import torch
    from peft import PeftModel

    given = artifact if isinstance(artifact, Artifact) else read_artifact(artifact)
    if given.kind != "adapter":
        raise InputError(f"{given.path}: a diffusion model takes adapters, not {given.kind}")
    try:
        model.net = PeftModel.from_pretrained(model.net, given.path).eval()
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{given.path}: does not fit {model.name} ({first_line(error)})") from error
    noise = torch.randn((1, *model.shape), generator=torch.Generator().manual_seed(0)).to(model.device)
    condition, level = model.encode_prompts([""]), torch.ones(1)
    with torch.no_grad():
        on = model.predict(noise, level, condition)
        with without_adapter(model):
            off = model.predict(noise, level, condition)
    if not bool((on != off).any()):
        raise InputError(f"{given.path}: changes nothing of what {model.name} predicts; is it trained?")
    model.artifact = given
    return model


@contextmanager
def without_adapter(model: Diffusion) -> Iterator[None]:
    """The network as it was before an adapter was put on it; the same network where there is none."""
    off = getattr(model.net, "disable_adapter", None)
    if off is None:
        yield
        return
    with off():
        yield
