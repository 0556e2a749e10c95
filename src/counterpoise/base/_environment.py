"""What a result was made with: installed versions, the commit, the machine. One place, for every `run.json`."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from counterpoise import __version__

from ._errors import InputError

PACKAGES = ("torch", "transformers", "peft", "accelerate", "inspect-ai", "numpy", "pillow")
"""Packages whose release can change a result."""


def environment() -> dict[str, Any]:
    """`commit`, `versions` and `machine`, as `run.json` holds them."""
    return {
        "commit": git_commit() or "unknown (not a git checkout)",
        "versions": versions(),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of this package, of Python and of `packages`; `absent` for one that is not installed."""
    found = {"counterpoise": __version__, "python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def git_commit() -> str | None:
    """Commit of the checkout this package runs from, with `-dirty` for uncommitted changes; None elsewhere."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return out.stdout.strip() or None


def launched_rank() -> int:
    """This process's number among those that a launcher started together (torchrun, `accelerate launch`); 0 alone."""
    rank = os.environ.get("RANK", "0")
    return int(rank) if rank.isdecimal() else 0


def launched_processes() -> int:
    """How many processes a launcher started together; 1 alone. Raises InputError where the environment has only a part
    of what a launcher sets: a process would wait for the others for ever, or train alone beside them."""
    text = os.environ.get("WORLD_SIZE") or "1"
    hint = "launch with torchrun or accelerate launch, or unset WORLD_SIZE to work in one process"
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise InputError(f"WORLD_SIZE={text}: not a number of processes; {hint}")
    by_mpi = any(name in os.environ for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"))
    missing = [name for name in ("RANK", "MASTER_ADDR") if not os.environ.get(name)]
    if int(text) > 1 and missing and not by_mpi:  # MPI has names of its own for both
        raise InputError(f"WORLD_SIZE={text}, but {' and '.join(missing)} not set; {hint}")
    return int(text)
