"""Where a model lies, and in which numbers: one device, one per process of a launched job, or parts on several."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from counterpoise.base import InputError, first_line, launched_processes

DTYPES = ("auto", "bfloat16", "float16", "float32")
SPREADS = ("auto", "balanced", "balanced_low_0", "sequential")
"""How Accelerate spreads a model over devices by itself."""

DeviceMap = str | Mapping[str, str | int]


class Placement(NamedTuple):
    """Where the weights go: to `device`, or, where `spread` is given, wherever that says."""

    device: str
    spread: str | dict[str, str | int] | None = None


def resolve_dtype(dtype: str = "auto", device: str = "auto") -> str:
    """The dtype that "auto" means on this machine: bfloat16 pays only where the hardware computes it."""
    import torch

    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r}: choose one of {', '.join(DTYPES)}")
    if dtype != "auto":
        return dtype
    if resolve_device(device).startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"


def resolve_device(device: str = "auto") -> str:
    """The device that "auto" and "cuda" mean in this process. Raises InputError for a device that is not here."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = rank_device(os.environ, torch.cuda.device_count())
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r}: not available here; use cpu or auto") from error
    return device


def rank_device(env: Mapping[str, str], count: int) -> str:
    """The GPU of this process among `count`: the first, or, under `accelerate launch` and `torchrun`, its own.

    Raises InputError when the job has more processes on this machine than GPUs: two would fill one GPU's memory.
    """
    rank = int(env.get("LOCAL_RANK", "0"))
    if count and rank >= count:
        raise InputError(
            f"process {rank} of this machine (LOCAL_RANK) has no GPU of its own: only {count} here; "
            f"launch with --num_processes {count}"
        )
    return f"cuda:{rank}"


def place(device: str, device_map: DeviceMap | None) -> Placement:
    """Where the weights go. Raises InputError for an unknown device or device map, or both where they disagree."""
    if device_map is None:
        return Placement(resolve_device(device))
    if device != "auto":
        raise InputError(f"device {device!r} and device map {device_map!r}: give one of the two")
    if launched_processes() > 1:
        raise InputError(
            "device map: every process of a launched job would spread its model over the same GPUs; start one process, "
            "or leave the map out so that each takes its own GPU"
        )
    if isinstance(device_map, str) and device_map not in SPREADS:
        raise InputError(f"device map {device_map!r}: choose one of {', '.join(SPREADS)}")
    if not isinstance(device_map, str):
        device_map = dict(device_map)
        for there in set(device_map.values()) - {"disk"}:
            resolve_device(f"cuda:{there}" if isinstance(there, int) else str(there))
    return Placement(resolve_device(), device_map)


def settle(model: Any, where: Placement, name: str) -> str:
    """Move a loaded model to its device, unless loading has placed it, and return the device that inputs go to.

    Raises InputError when the model does not fit, or a device map does not cover it.
    """
    import torch

    if where.spread is None and not getattr(model, "is_quantized", False):
        try:
            model.to(where.device)
        except RuntimeError as error:
            hint = "; --device-map auto spreads it over several" if torch.cuda.device_count() > 1 else ""
            raise InputError(f"{name}: does not fit on {where.device} ({first_line(error)}){hint}") from error
        return where.device
    if isinstance(where.spread, dict):
        _check_map(model, where.spread, name)
    embeddings = model.get_input_embeddings()
    there = getattr(getattr(embeddings, "_hf_hook", None), "execution_device", None)  # offloaded weights lie on "meta"
    return str(torch.device(embeddings.weight.device if there is None else there))


def _check_map(model: Any, spread: dict[str, str | int], name: str) -> None:
    """transformers itself leaves what a map does not name on the CPU, without a word."""
    from accelerate.utils import check_device_map

    modules = {path for path, _ in model.named_modules()}
    if unknown := [path for path in spread if path not in modules]:
        raise InputError(f"{name}: the device map names {', '.join(unknown[:3])}, which the model does not have")
    try:
        check_device_map(model, spread)
    except ValueError as error:
        raise InputError(f"{name}: {first_line(error)}") from error
