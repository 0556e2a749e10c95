"""A steering artifact: vectors of a few kB that are added to the residual stream while a model runs; no weight changes.

A folder with `steering.json` and `steering.safetensors`. `steering.json` holds

    {"format": "counterpoise-steering", "version": 1,
     "base": {"name": "pocket", "weights": "<hash of the base's *.safetensors>"},
     "method": "cmrm", "when": "image", "layers": [{"layer": 12, "alpha": 1.0}, ...]}

`layer` l is the state behind decoder block l (`hidden_states[l]`, from 1); its vector is the tensor `layer.l` (H). With
`when` "image" it is added to prompts that hold an image, at all positions, and replies read it from the cache;
with "always" at every position of every row.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from counterpoise.base import Artifact, InputError, atomic_write, read_json, sha256_bytes, write_json

from ._loaded import AdapterProof, Loaded
from ._parts import language_root
from ._source import fingerprint, weights_hash

if TYPE_CHECKING:
    from torch import Tensor

When = Literal["image", "always"]
Change = Callable[["Tensor"], "Tensor"]
FORMAT, VERSION = "counterpoise-steering", 1
JSON, TENSORS = "steering.json", "steering.safetensors"


@dataclass(frozen=True, eq=False)
class Steering:
    """The content of a steering folder."""

    base: str
    weights: str
    method: str
    when: When
    vectors: "Mapping[int, Tensor]"
    """Layer -> (H)."""
    alphas: Mapping[int, float]


class AppliedSteering:
    """A steering on a model, which can be switched off for a block and taken off for good."""

    def __init__(self, base: Loaded, steering: Steering):
        self.base, self.steering, self.on = base, steering, True
        self._rows: Tensor | None = None
        layers = decoder_layers(base.model)
        self._handles = [base.model.register_forward_pre_hook(self._look, with_kwargs=True)]
        for layer in steering.vectors:  # first of all hooks: whoever records states records what the next block sees
            self._handles.append(layers[layer - 1].register_forward_hook(self._add(layer), prepend=True))

    @contextmanager
    def off(self) -> Iterator[None]:
        """The base model while the block runs."""
        self.on = False
        try:
            yield
        finally:
            self.on = True

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _look(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Which rows of this pass hold an image: (B, 1, 1), or None for no row."""
        ids = kwargs.get("input_ids", args[0] if args else None)
        token = image_token(self.base.model)
        found = (ids == token).any(1) if ids is not None and token is not None else None
        self._rows = found[:, None, None] if found is not None and bool(found.any()) else None

    def _add(self, layer: int) -> Callable[..., Any]:
        vector, alpha = self.steering.vectors[layer], self.steering.alphas[layer]

        def add(_: Any, __: Any, output: Any) -> Any:
            if not self.on or (self.steering.when == "image" and self._rows is None):
                return None
            states = output[0] if isinstance(output, tuple) else output
            shift = alpha * vector.to(states.device, states.dtype)
            if self.steering.when == "image":
                shift = shift * self._rows.to(states.device)  # type: ignore[union-attr]
            return (states + shift, *output[1:]) if isinstance(output, tuple) else states + shift

        return add


def decoder_layers(model: Any) -> Any:
    """The language model's stack of blocks, a ModuleList. Raises InputError when none has the number that the config
    names."""
    from torch import nn

    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    n = plain.config.get_text_config(decoder=True).num_hidden_layers
    for _, module in plain.get_submodule(language_root(model)).named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == n:
            return module
    raise InputError(f"{type(plain).__name__}: no stack of {n} blocks in its language model; it cannot be steered")


def image_token(model: Any) -> int | None:
    config = model.config
    found = getattr(config, "image_token_id", None)
    return found if found is not None else getattr(config, "image_token_index", None)


@contextmanager
def changed_states(model: Any, changes: Mapping[int, Change]) -> Iterator[None]:
    """The state (B, T, H) behind each named layer is replaced by what its function makes of it while the block runs;
    layer 0 is the input of the first block. Hooks are removed in any case."""
    layers = decoder_layers(model)

    def behind(change: Change) -> Callable[..., Any]:
        def hook(_: Any, __: Any, output: Any) -> Any:
            return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

        return hook

    def before(change: Change) -> Callable[..., Any]:
        return lambda _, args, kwargs: ((change(args[0]), *args[1:]), kwargs)

    handles = []
    try:
        for layer, change in changes.items():
            if layer == 0:
                handles.append(layers[0].register_forward_pre_hook(before(change), with_kwargs=True))
            else:
                handles.append(layers[layer - 1].register_forward_hook(behind(change), prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def is_steering(folder: Path) -> bool:
    return (folder / JSON).is_file()


def save_steering(
    folder: Path, loaded: Loaded, vectors: "Mapping[int, Tensor]", *, method: str, when: When,
    alphas: Mapping[int, float] | float = 1.0,
) -> Artifact:  # fmt: skip
    """Write a steering of `loaded` and return it as an artifact. Nothing is applied.

    Raises InputError for a model that carries something already, and for vectors that do not fit it.
    """
    from safetensors.torch import save

    if loaded.adapter is not None or loaded.artifact is not None:
        raise InputError(f"{loaded.name}: already carries {loaded.adapter or loaded.artifact}; steer the base")
    weights = {layer: alphas if isinstance(alphas, float | int) else alphas[layer] for layer in vectors}
    made = Steering(loaded.name, weights_hash(Path(loaded.path)), method, when, vectors, weights)
    _fits(made, loaded, str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).unlink(missing_ok=True)
    with atomic_write(folder / TENSORS, "wb") as file:
        file.write(save({f"layer.{k}": v.detach().float().cpu().contiguous() for k, v in vectors.items()}))
    layers = [{"layer": layer, "alpha": float(weights[layer])} for layer in sorted(vectors)]
    base = {"name": made.base, "weights": made.weights}
    about = {"base": base, "method": method, "when": when, "layers": layers}
    write_json(folder / JSON, {"format": FORMAT, "version": VERSION, **about})
    return Artifact("steering", folder, fingerprint(folder, None, {}))


def read_steering(folder: Path) -> Steering:
    """Read a steering folder. Raises InputError when its files are not what the format says."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / JSON
    value = read_json(file)
    if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != VERSION:
        raise InputError(f'{file}: not a steering (expected "format": "{FORMAT}", "version": {VERSION})')
    try:
        content = load_file(folder / TENSORS)
        alphas = {int(each["layer"]): float(each["alpha"]) for each in value["layers"]}
        vectors = {layer: content.pop(f"layer.{layer}") for layer in alphas}
        when = value["when"]
        if when not in get_args(When):
            raise ValueError(f"when {when!r}: choose {', '.join(get_args(When))}")
        made = Steering(
            str(value["base"]["name"]), str(value["base"]["weights"]), str(value["method"]), when, vectors, alphas
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: not a whole steering ({type(error).__name__}: {error})") from error
    if content:
        raise InputError(f"{folder / TENSORS}: holds {next(iter(content))}, which {JSON} does not name")
    return made


def steer(loaded: Loaded, artifact: Artifact) -> Loaded:
    """Put a steering on a model and prove that it acts; `unsteer` takes it off.

    Raises InputError, and leaves no hook behind, when it was made for other weights, does not fit, or changes no logit.
    """
    from ._adapter import probe_difference

    if loaded.adapter is not None or loaded.artifact is not None:
        raise InputError(f"{loaded.name}: already carries {loaded.adapter or loaded.artifact}; steer the base")
    steering = read_steering(artifact.path)
    _fits(steering, loaded, str(artifact.path))
    if steering.weights != weights_hash(Path(loaded.path)):
        raise InputError(
            f"{artifact.path}: made for other weights than those of {loaded.name} (for {steering.base}, hash "
            f"{steering.weights}); give that model"
        )
    applied = AppliedSteering(loaded, steering)
    try:
        own = sha256_bytes(f"{loaded.fingerprint} {artifact.fingerprint}".encode())[:12]
        steered = dataclasses.replace(loaded, steering=applied, artifact=artifact, fingerprint=own)
        if not (difference := probe_difference(steered)) > 0:
            raise InputError(f"{artifact.path}: outputs are the same with and without it, so it is not active")
    except BaseException:
        applied.remove()
        raise
    proof = AdapterProof(str(artifact.path), len(steering.vectors), _acting(steering), difference)
    return dataclasses.replace(steered, proof=proof)


def unsteer(loaded: Loaded) -> Loaded:
    """Take a steering off and return the model below it. Raises InputError when there is none."""
    if loaded.steering is None:
        raise InputError(f"{loaded.name}: no steering is on it")
    loaded.steering.remove()
    return loaded.steering.base


def steering_base(folder: Path) -> str:
    """Name of the model that a steering folder was made for."""
    return read_steering(folder).base


def _acting(steering: Steering) -> int:
    return sum(bool(v.any()) and steering.alphas[layer] != 0 for layer, v in steering.vectors.items())


def _fits(steering: Steering, loaded: Loaded, where: str) -> None:
    import torch

    n = len(decoder_layers(loaded.model))
    width = loaded.model.config.get_text_config(decoder=True).hidden_size
    problems: list[str] = [] if steering.vectors else ["it has no vector"]
    for layer, vector in steering.vectors.items():
        if not 1 <= layer <= n:
            problems.append(f"layer {layer}: the model has 1 to {n}")
        elif tuple(vector.shape) != (width,):
            problems.append(f"layer {layer}: a vector of shape {list(vector.shape)} for states of {width}")
        elif not bool(torch.isfinite(vector).all()):
            problems.append(f"layer {layer}: values that are no finite numbers")
    if steering.when == "image" and not loaded.is_vlm:
        problems.append("it steers prompts with images, and the model takes none")
    if problems:
        raise InputError(f"{where}: does not fit {loaded.name}: {'; '.join(problems[:3])}")
