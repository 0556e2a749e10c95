"""What this machine has and lacks for running models."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Literal, NamedTuple


class Check(NamedTuple):
    """One line of the doctor: `status` "ok", "optional" (something works less well or not) or "required"."""

    name: str
    status: Literal["ok", "optional", "required"]
    detail: str
    """What was found, or what to do."""


def doctor() -> list[Check]:
    """Look at Python, packages, processor, memory, caches and data. Loads no model and uses no network."""
    return [*_software(), *_machine(), *_places()]


def _software() -> Iterator[Check]:
    yield Check("python", "ok" if sys.version_info >= (3, 11) else "required", sys.version.split()[0])
    for name in ("torch", "transformers", "peft", "accelerate", "inspect-ai", "pillow", "QtAwesome"):
        try:
            yield Check(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "required", f"pip install {name}")
    found = importlib.util.find_spec("torchvision") is not None
    hint = "only for the video part of Qwen-VL and the torchvision image back end: pip install torchvision"
    yield Check("torchvision", "ok" if found else "optional", "installed" if found else hint)
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    yield Check("chromium", "ok" if browser else "optional", browser or "only tests of the report need it")


def _machine() -> Iterator[Check]:
    import torch

    from ._device import resolve_dtype

    precision = resolve_dtype(device="cpu")
    kinds = {
        "AMX": torch.cpu._is_amx_tile_supported(),
        "AVX512-BF16": torch.cpu._is_avx512_bf16_supported(),
    }
    has = ", ".join(name for name, here in kinds.items() if here) or "no bfloat16 instructions"
    yield Check("processor", "ok", f"{os.cpu_count()} cores, {has}; models load in {precision}")
    if torch.cuda.is_available():
        yield Check("gpu", "ok", torch.cuda.get_device_name(0))
    else:
        yield Check("gpu", "optional", "none; models of several billion parameters need one to be practical")
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        enough = free > 3
        yield Check("memory", "ok" if enough else "optional", f"{free:.1f} GiB free" + ("" if enough else "; 3 needed"))


def _places() -> Iterator[Check]:
    from .pocket import is_cached, pocket_folder

    yield Check("pocket", "ok", f"{pocket_folder()}" if is_cached() else "not assembled yet; happens at first use")
    cache = os.environ.get("HF_HOME", "~/.cache/huggingface")
    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("0", "")
    yield Check("hugging face cache", "ok", f"{cache}{', offline (HF_HUB_OFFLINE)' if offline else ''}")
