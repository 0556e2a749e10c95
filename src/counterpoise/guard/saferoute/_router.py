"""A trained router: networks, threshold, and the features it was made for. Inference is NumPy and deterministic."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import InputError, atomic_write, read_json, write_json

from .._values import Guard, Verdict
from ._labels import Floats

WEIGHTS, CARD = "router.safetensors", "router.json"
KEYS = ("w0", "b0", "w1", "b1", "w2", "b2", "g0", "h0", "g1", "h1")


@dataclass(frozen=True)
class FeatureSpec:
    """What a router's features are. Another revision, template or size of the small guard is another feature."""

    guard: str
    revision: str | None
    template: str | None
    dim: int
    layer: str = "last"
    pooling: str = "verdict position"
    suffix_ids: tuple[int, ...] = ()

    @classmethod
    def of(cls, guard: Guard, verdict: Verdict) -> "FeatureSpec":
        """Of a verdict with features."""
        more = dict(getattr(guard, "feature_spec", {}))
        more["suffix_ids"] = tuple(more.get("suffix_ids", ()))
        dim = 0 if verdict.features is None else int(verdict.features.shape[0])
        return cls(verdict.guard, verdict.revision, verdict.template, dim, **more)

    def require(self, other: "FeatureSpec") -> None:
        """Raises InputError naming the first difference."""
        for name, mine in asdict(self).items():
            theirs = asdict(other)[name]
            if mine != theirs:
                raise InputError(
                    f"router: made for {name} {mine!r} of its small guard, which has {theirs!r}; train the router again"
                )


@dataclass(frozen=True)
class Router:
    """P(the large guard is needed) from features, and the threshold above which a request is sent on."""

    spec: FeatureSpec
    members: Sequence[Mapping[str, NDArray[np.float32]]] = field(repr=False)
    threshold: float = 0.5
    card: dict[str, Any] = field(default_factory=dict)
    """Guards, settings, measured numbers; grows until it is saved."""

    def __call__(self, features: NDArray[np.float32]) -> Floats:
        """sigmoid(f) (N) of features (N, d), averaged over the members. Raises InputError for another d."""
        if features.ndim != 2 or features.shape[1] != self.spec.dim:
            raise InputError(f"router: features of shape {features.shape}; expected (N, {self.spec.dim})")
        if not len(features):
            return np.zeros(0)
        p = [1 / (1 + np.exp(-np.clip(_logits(m, features.astype(np.float64)), -60, 60))) for m in self.members]
        return np.asarray(np.mean(p, axis=0))

    def save(self, folder: Path) -> None:
        """Write `router.safetensors`, then `router.json`; a folder without the latter is no router."""
        from safetensors.numpy import save

        tensors = {f"{n}.{name}": np.ascontiguousarray(a) for n, m in enumerate(self.members) for name, a in m.items()}
        with atomic_write(folder / WEIGHTS, "wb") as file:
            file.write(save(tensors))
        write_json(folder / CARD, {"spec": asdict(self.spec), "threshold": self.threshold, **self.card})


def _logits(m: Mapping[str, NDArray[np.float32]], x: Floats) -> Floats:
    for n in (0, 1):
        x = x @ m[f"w{n}"].T + m[f"b{n}"]
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)  # LayerNorm
        x = np.maximum(x * m[f"g{n}"] + m[f"h{n}"], 0)
    return np.asarray((x @ m["w2"].T + m["b2"])[:, 0])


def load_router(folder: Path) -> Router:
    """Raises InputError when the folder holds no router or its files do not fit together."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not (folder / CARD).is_file() or not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{folder}: no router there; train one with: counterpoise guard route train SMALL LARGE --data ROWS"
        )
    card = read_json(folder / CARD)
    try:
        spec = FeatureSpec(**_spec(card))
        threshold = float(card.pop("threshold"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder / CARD}: not a router's card ({error}); train it again") from error
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{folder / WEIGHTS}: damaged ({error}); train it again") from error
    members: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, array in tensors.items():
        number, _, key = name.partition(".")
        members.setdefault(number, {})[key] = array
    if not members or not all(name.isdigit() for name in members):
        raise InputError(f"{folder / WEIGHTS}: not a router's networks; train the router again")
    if any(set(m) != set(KEYS) or m["w0"].shape[1] != spec.dim for m in members.values()):
        raise InputError(f"{folder / WEIGHTS}: does not fit {CARD}; train the router again")
    return Router(spec, [members[name] for name in sorted(members, key=int)], threshold, card)


def _spec(card: dict[str, Any]) -> dict[str, Any]:
    spec = dict(card.pop("spec"))
    spec["suffix_ids"] = tuple(spec.get("suffix_ids", ()))
    return spec
