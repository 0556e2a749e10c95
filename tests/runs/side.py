"""Tasks that a worker's process can import without the rest of the tests."""

import os
import signal
import time
from pathlib import Path

from counterpoise.base import InputError


def meet(folder, own, other):
    """Ends only while the other one runs as well."""
    (folder / own).write_text(str(os.getpid()), encoding="utf-8")
    for _ in range(600):
        if (folder / other).exists() and (folder / other).read_text():
            return int((folder / other).read_text()), os.getpid()
        time.sleep(0.1)
    raise InputError("alone")


def wrong(*_):
    raise InputError("page.png: not an image")


def dies(*_):
    print("last words")
    os.kill(os.getpid(), signal.SIGKILL)


def threads(*_):
    import torch

    return torch.get_num_threads()


def sleeps(file):
    Path(file).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(300)
