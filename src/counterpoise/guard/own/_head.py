"""The trained part of the tiny guard: a small network per mode, with Platt scaling, in one safetensors file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError, atomic_write, sha256_file

from ._features import LAYOUT, WIDTH, Rows

Floats = NDArray[np.float64]
MODES = ("prompt", "response")


class Net(NamedTuple):
    """logit = slope (w2 relu(x w1 + b1) + b2) + offset; the last two were fitted on rows kept back (Platt 1999)."""

    w1: Rows
    b1: Rows
    w2: Rows
    b2: Rows
    platt: Rows

    def __call__(self, x: Rows) -> Floats:
        """P(unsafe) of each row of (n, WIDTH)."""
        return np.asarray(1 / (1 + np.exp(-self._logit(self._hidden(x)))))

    def state(self, x: Rows) -> Rows:
        """What predicts the verdict, for a router: hidden units, calibrated logit and entropy in bits, (n, units + 2).

        The last hidden state of the SafeRoute paper; the logit and the entropy are what its baselines read."""
        hidden = self._hidden(x)
        logit = self._logit(hidden)
        p = 1 / (1 + np.exp(-logit))
        bits = np.logaddexp(0, logit) / np.log(2) - p * logit / np.log(2)  # H2(p), exact where p is near 0 or 1
        return np.column_stack([hidden, logit, bits]).astype(np.float32)

    def _hidden(self, x: Rows) -> Rows:
        return np.asarray(np.maximum(x @ self.w1 + self.b1, 0))

    def _logit(self, hidden: Rows) -> Floats:
        logit = (hidden @ self.w2 + self.b2).astype(np.float64)
        return np.asarray(np.clip(self.platt[0] * logit + self.platt[1], -40, 40))


@dataclass(frozen=True)
class Head:
    """Networks by mode, and what is known about them."""

    nets: Mapping[str, Net]
    card: Mapping[str, Any]
    """`eye`: the vision tower whose readings it was trained on; `measured`: rates with denominators; `trained_on`."""
    revision: str = field(default="unsaved", compare=False)

    def save(self, path: Path) -> "Head":
        """Write the file and return the head with its revision (a hash of the file)."""
        from safetensors.numpy import save

        tensors = {
            f"{mode}.{k}": v.astype(np.float16) for mode, net in self.nets.items() for k, v in net._asdict().items()
        }
        card = json.dumps({"layout": LAYOUT, **self.card}, sort_keys=True)
        with atomic_write(path, "wb") as file:
            file.write(save(tensors, metadata={"card": card}))
        return load_head(path)


def load_head(path: Path) -> Head:
    """Read a head. Raises InputError when the file is missing, damaged, or made for another layout of features."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path}: no such file; train a tiny guard with: counterpoise guard train tiny --data ROWS")
    try:
        with safe_open(path, "np") as file:
            card = json.loads((file.metadata() or {}).get("card", "{}"))
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: not a tiny guard's file ({error})") from error
    if card.get("layout") != LAYOUT:
        raise InputError(f"{path}: made for other features ({card.get('layout')}); train it again")
    nets = {}
    for mode in MODES:
        own = {k.removeprefix(f"{mode}."): v for k, v in tensors.items() if k.startswith(f"{mode}.")}
        if own:
            if set(own) != set(Net._fields) or own["w1"].shape[0] != WIDTH:
                raise InputError(f"{path}: the tensors of {mode} mode do not fit; train it again")
            nets[mode] = Net(**own)
    if not nets:
        raise InputError(f"{path}: holds no network; train it again")
    return Head(nets, card, sha256_file(path)[:12])
