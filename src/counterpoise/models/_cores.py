"""Which thread holds the processor's cores."""

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

_HARD = 2  # omp_pause_hard of OpenMP 5.0: give back all that a new parallel region would build again


def release_cores() -> None:
    """End the calling thread's OpenMP helper threads; the next tensor operation in it starts them again.

    Call it before another thread computes. GNU OpenMP lets waiting threads spin only as long as there are no more of
    them than cores; with an idle team in the main thread, generation in a worker thread took 40 % longer (pocket, two
    cores). Does nothing where PyTorch uses another OpenMP.
    """
    if (pause := _pause()) is not None:
        pause(_HARD)


@functools.cache
def _pause() -> Callable[[int], int] | None:
    import torch

    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    try:
        pause: Callable[[int], int] = ctypes.CDLL(str(found[0])).omp_pause_resource_all
    except (IndexError, OSError, AttributeError):
        return None
    return pause
