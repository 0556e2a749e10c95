"""An edit: a small, reversible change of some weights, in a folder with `edit.json` and `edit.safetensors`.

`edit.json` holds

    {"format": "counterpoise-edit", "version": 1,
     "base": {"name": "pocket", "weights": "<hash of the base's *.safetensors>"},
     "tensors": [{"name": "model.text_model.layers.3.mlp.down_proj.weight", "shape": [576, 1536],
                  "op": "add", "layout": "sparse"}, ...]}

`name` is the parameter's in the loaded model (`named_parameters`), `shape` its shape. `op` says what happens to an
entry: `set` it to the value, `add` the value, or `scale` it by the value, in float32 and then rounded to the weights'
dtype. In `edit.safetensors` a `dense` tensor has `NAME.values`, of the parameter's shape or one that broadcasts to it;
a `sparse` one has `NAME.values` and `NAME.indices`: int64, flat in row-major order, rising, no index twice.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast, get_args

from counterpoise.base import Artifact, InputError, read_json, sha256_bytes, write_json

from ._loaded import AdapterProof
from ._source import fingerprint, weights_hash

if TYPE_CHECKING:
    from torch import Tensor

Op = Literal["set", "add", "scale"]
FORMAT, VERSION = "counterpoise-edit", 1
JSON, TENSORS = "edit.json", "edit.safetensors"


class Editable(Protocol):
    """What an edit needs to know of a model: `Loaded` and `DualEncoder` are such, both dataclasses."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def model(self) -> Any: ...
    @property
    def adapter(self) -> str | None: ...
    @property
    def artifact(self) -> Artifact | None: ...
    @property
    def edit(self) -> "AppliedEdit | None": ...


M = TypeVar("M", bound=Editable)


@dataclass(frozen=True, eq=False)
class TensorEdit:
    """What happens to one parameter; see the module's docstring."""

    name: str
    op: Op
    values: "Tensor"
    indices: "Tensor | None" = None
    """None: dense."""
    shape: tuple[int, ...] = ()
    """Of the parameter; filled in by `save_edit`."""


@dataclass(frozen=True, eq=False)
class Edit:
    """The content of an edit folder."""

    base: str
    """Name of the model it was made for."""
    weights: str
    """Hash of that model's weights."""
    tensors: tuple[TensorEdit, ...]


class AppliedEdit:
    """An edit on a model: knows the values that were there before, so that it can be taken off bit for bit."""

    def __init__(self, base: Any, parts: "list[tuple[Tensor, Any, Tensor]]"):
        self.base = base
        self.parts = parts  # (parameter, index of the entries, their values before)

    @contextmanager
    def off(self) -> Iterator[None]:
        """The base model while the block runs."""
        now = [parameter[index].clone() for parameter, index, _ in self.parts]
        self.remove()
        try:
            yield
        finally:
            for (parameter, index, _), values in zip(self.parts, now, strict=True):
                parameter[index] = values

    def remove(self) -> None:
        """Put every value back."""
        for parameter, index, before in self.parts:
            parameter[index] = before


def is_edit(folder: Path) -> bool:
    return (folder / JSON).is_file()


def edit_base(folder: Path) -> str:
    """Name of the model that an edit folder was made for."""
    return read_edit(folder).base


def save_edit(folder: Path, loaded: Editable, tensors: Sequence[TensorEdit]) -> Artifact:
    """Write an edit of `loaded` and return it as an artifact. Nothing is applied.

    Raises InputError for a tensor that does not fit the model, a parameter edited twice, and a model that already
    carries an adapter or an edit, whose weights are not those of its files.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    refuse_carrying(loaded)
    parameters = _parameters(loaded)
    known = {name: tuple(p.shape) for name, p in parameters.items()}
    filled = [dataclasses.replace(each, shape=known.get(each.name, ())) for each in tensors]
    edit = Edit(loaded.name, weights_hash(Path(loaded.path)), tuple(filled))
    _fits(edit, parameters, str(folder), loaded.name)
    content = {f"{each.name}.values": each.values.detach().cpu().contiguous() for each in filled}
    content |= {f"{t.name}.indices": t.indices.cpu().contiguous() for t in filled if t.indices is not None}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).unlink(missing_ok=True)  # until all is there, the folder holds no edit
    part = folder / f".{TENSORS}"
    try:
        save_file(content, part)
        os.replace(part, folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder}: cannot write ({error}); free some space or choose another folder") from error
    finally:
        part.unlink(missing_ok=True)
    facts = [
        {
            "name": each.name,
            "shape": list(each.shape),
            "op": each.op,
            "layout": "dense" if each.indices is None else "sparse",
        }
        for each in filled
    ]
    base = {"name": edit.base, "weights": edit.weights}
    write_json(folder / JSON, {"format": FORMAT, "version": VERSION, "base": base, "tensors": facts})
    return Artifact("edit", folder, fingerprint(folder, None, {}))


def read_edit(folder: Path) -> Edit:
    """Read an edit folder. Raises InputError when its files are not what the format says."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / JSON
    value = read_json(file)
    if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != VERSION:
        raise InputError(f'{file}: not an edit (expected "format": "{FORMAT}", "version": {VERSION})')
    try:
        content = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder / TENSORS}: {error}; is the edit finished?") from error
    try:
        tensors = []
        for each in value["tensors"]:
            name, sparse = str(each["name"]), {"dense": False, "sparse": True}[each["layout"]]
            values = content.pop(f"{name}.values")
            indices = content.pop(f"{name}.indices") if sparse else None
            tensors.append(TensorEdit(name, each["op"], values, indices, tuple(map(int, each["shape"]))))
        edit = Edit(str(value["base"]["name"]), str(value["base"]["weights"]), tuple(tensors))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: not a whole edit ({type(error).__name__}: {error})") from error
    if content:
        raise InputError(f"{folder / TENSORS}: holds {next(iter(content))}, which {JSON} does not name")
    return edit


def apply_edit(loaded: M, artifact: Artifact, probe: Callable[[M], float] | None = None) -> M:
    """Change the weights of `loaded` in place and prove that the change acts; `remove_edit` takes it back.

    `probe` gives the largest difference that the edit makes to an output, with the edit on the model; default: to a
    logit of a chat model. Returns the model under a fingerprint of its own, with `edit` and `proof` set. Raises
    InputError, and leaves the weights as they were, when the edit was made for other weights, a tensor or shape does
    not fit, nothing changes in the weights' dtype, or no output of the probe changes.
    """
    import torch

    from ._adapter import probe_difference

    refuse_carrying(loaded)
    edit, parameters = read_edit(artifact.path), _parameters(loaded)
    _fits(edit, parameters, str(artifact.path), loaded.name)
    if edit.weights != weights_hash(Path(loaded.path)):
        raise InputError(
            f"{artifact.path}: made for other weights than those of {loaded.name} (for {edit.base}, hash "
            f"{edit.weights}); give that model"
        )
    applied, n_changed = AppliedEdit(loaded, []), 0
    try:
        for each in edit.tensors:
            parameter = parameters[each.name].data
            index = ... if each.indices is None else torch.unravel_index(each.indices.to(parameter.device), each.shape)
            old = parameter[index].clone()
            applied.parts.append((parameter, index, old))
            parameter[index] = _new(old, each)
            n_changed += bool((parameter[index] != old).any())
        own = sha256_bytes(f"{loaded.fingerprint} {artifact.fingerprint}".encode())[:12]
        edited = _with(loaded, edit=applied, artifact=artifact, fingerprint=own)
        if not (difference := (probe or cast("Callable[[M], float]", probe_difference))(edited)) > 0:
            lost = "" if n_changed else f": nothing is left of it in {loaded.dtype}"
            raise InputError(f"{artifact.path}: outputs are the same with and without it, so it is not active{lost}")
    except BaseException:
        applied.remove()
        raise
    return _with(edited, proof=AdapterProof(str(artifact.path), len(edit.tensors), n_changed, difference))


def remove_edit(loaded: M) -> M:
    """Put every weight back, bit for bit, and return the model that the edit was applied to.

    Raises InputError when there is none, or it was merged.
    """
    if loaded.edit is None:
        raise InputError(f"{loaded.name}: no edit is on it that could be taken off")
    loaded.edit.remove()
    base: M = loaded.edit.base
    return base


def merge_edit(loaded: M) -> M:
    """Keep the edit for good: the values that were there before are forgotten, and their memory is free."""
    if loaded.edit is None:
        raise InputError(f"{loaded.name}: no edit is on it")
    return _with(loaded, edit=None)


def _with(loaded: M, **changes: Any) -> M:
    made: M = dataclasses.replace(cast("Any", loaded), **changes)
    return made


def _new(old: "Tensor", each: TensorEdit) -> "Tensor":
    values = each.values.to(old.device).float()
    if each.op == "set":
        result = values.expand_as(old)
    else:
        result = old.float() + values if each.op == "add" else old.float() * values
    return result.to(old.dtype)


def refuse_carrying(loaded: Editable) -> None:
    """Raises InputError for a model that carries an adapter, an edit or a steering already: before the work."""
    if loaded.adapter is not None or loaded.artifact is not None:
        on = loaded.adapter or loaded.artifact
        raise InputError(f"{loaded.name}: already carries {on}; an edit belongs to a model's own weights")


def _parameters(loaded: Editable) -> "dict[str, Tensor]":
    return dict(loaded.model.named_parameters(remove_duplicate=False))


def _fits(edit: Edit, parameters: "dict[str, Tensor]", where: str, name: str) -> None:
    """Raises InputError naming the first three tensors that do not fit."""
    problems = [f"{each.name}: {why}" for each in edit.tensors if (why := _misfit(each, parameters))]
    seen: dict[int, str] = {}
    for each in edit.tensors:
        place = parameters[each.name].data_ptr() if each.name in parameters else -1
        if place != -1 and place in seen:
            problems.append(f"{each.name}: is {seen[place]} by another name (tied weights), and edited twice")
        seen[place] = each.name
    if not edit.tensors:
        problems.append("it names no tensor")
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InputError(f"{where}: does not fit {name}: {'; '.join(problems[:3])}{more}")


def _misfit(each: TensorEdit, parameters: "dict[str, Tensor]") -> str | None:
    import torch

    parameter = parameters.get(each.name)
    if parameter is None:
        return "no such parameter in the model"
    if tuple(parameter.shape) != each.shape:
        return f"shape {list(each.shape)}, the model's is {list(parameter.shape)}"
    if not parameter.is_floating_point() or parameter.device.type == "meta":
        return f"{parameter.dtype} on {parameter.device} cannot be edited; load the model unquantised and in memory"
    if each.op not in get_args(Op):
        return f"unknown op {each.op!r}; known: {', '.join(get_args(Op))}"
    if not each.values.is_floating_point() or not bool(torch.isfinite(each.values).all()):
        return "values that are no finite numbers"
    if each.indices is None:
        try:
            each.values.expand(each.shape)
        except RuntimeError:
            return f"values of shape {list(each.values.shape)} for {list(each.shape)}"
        return None
    flat = each.indices
    if flat.dtype != torch.int64 or flat.ndim != 1 or flat.shape != each.values.shape or not flat.numel():
        return "sparse values and int64 indices must be two lists of the same length"
    if int(flat[0]) < 0 or int(flat[-1]) >= prod(each.shape) or bool((flat[1:] <= flat[:-1]).any()):
        return f"indices must rise from 0 to at most {prod(each.shape) - 1}"
    return None
