"""What a correction changed in a chat model, and where it points: the study's analyses on a base and its tuned model.

Prompts are Twins' families: centroids from train, everything else from validation, never test. The decompositions do
not subtract the mean column, neither of a weight nor of its change.
"""

import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from counterpoise.base import Artifact, InputError, Progress, read_json

from . import _analyses as analyses
from ._kept import Kept
from ._states import DOWN, UP, Seen, look, prompts

if TYPE_CHECKING:
    from counterpoise.models import Loaded

TOP, TINY = 5, 1e-12


def weights(
    base: "Loaded", tuned: "Loaded", modalities: Sequence[str], limit: int | None, batch: int = 8,
    kept: Kept | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Clusters by layer, changes by weight, sensitivity: everything that `study weights` shows. With `kept` a study
    that was stopped goes on.

    Raises InputError when the tuned model's language model is that of the base.
    """
    reference = prompts("train", "text", limit)
    tests = {name: prompts("validation", name, limit) for name in modalities}
    seen: dict[str, dict[str, Seen]] = {}
    for name, loaded in (("base", base), ("tuned", tuned)):
        seen[name] = {
            "reference": look(
                loaded, reference.conversations, layers=True, batch=batch, title=f"{name}, train", kept=kept
            )
        }
        for kind, rows in tests.items():
            seen[name][kind] = look(loaded, rows.conversations, layers=True, gradients=True, batch=batch,
                                    title=f"{name}, {kind}", kept=kept)  # fmt: skip
    found: dict[str, Any] = {"prompts": {kind: len(rows.conversations) for kind, rows in tests.items()},
                             "reference": len(reference.conversations), "clusters": {}, "sensitivity": {}}  # fmt: skip
    for name, parts in seen.items():
        found["clusters"][name] = [
            _clusters(path, parts, reference.harmful, {kind: rows.harmful for kind, rows in tests.items()})
            for path in parts["reference"].entering if path.rpartition(".")[2] in DOWN
        ]  # fmt: skip
        found["sensitivity"][name] = {
            kind: {side: float(np.median(_norms(parts[kind])[rows.side(harmful=side == "harmful")]))
                   for side in ("harmful", "benign")}
            for kind, rows in tests.items()
        }  # fmt: skip
    found["changes"] = _changes(base, tuned, seen["tuned"], {kind: rows.harmful for kind, rows in tests.items()})
    return found


def _norms(seen: Seen) -> np.ndarray:
    assert seen.sensitivity is not None
    return seen.sensitivity


def _clusters(path: str, parts: Mapping[str, Seen], harmful: np.ndarray,
              tests: Mapping[str, np.ndarray]) -> dict[str, Any]:  # fmt: skip
    """Tau of each modality's rows against the centroids of text: does a harmful image lie with harmful text?"""
    known = parts["reference"].entering[path]
    at = analyses.centroids(known[~harmful], known[harmful])
    row: dict[str, Any] = {"layer": layer_of(path)}
    for kind, sides in tests.items():
        tau = analyses.tau(parts[kind].entering[path], at)
        safe, unsafe = tau[~sides], tau[sides]
        spread = max(float(np.sqrt((safe.var() + unsafe.var()) / 2)), 1e-12)
        row[kind] = {"safe": float(safe.mean()), "unsafe": float(unsafe.mean()),
                     "separation": float(safe.mean() - unsafe.mean()) / spread,
                     "auc": analyses.auc(-tau, sides)}  # fmt: skip
    return row


def changes(base: "Loaded", tuned: "Loaded") -> Iterator[tuple[str, np.ndarray, analyses.Change]]:
    """(path, base weight (out, in), decomposed change) of every linear layer of the language model that was changed.

    Of a LoRA layer the product B A is never made. Raises InputError for layers that do not fit.
    """
    from counterpoise.models import lora_targets

    for path in lora_targets(base.model):
        old = base.model.get_submodule(path).weight
        module = tuned.model.get_submodule(path)
        weight = old.detach().float().cpu().numpy()
        if getattr(module, "lora_A", None):
            for name in module.active_adapters:
                if name in module.lora_A:
                    yield path, weight, _lora(module, name)
            continue
        new = module.weight
        if new.shape != old.shape:
            raise InputError(f"{tuned.name}: {path} has shape {list(new.shape)}, the base's {list(old.shape)}")
        delta = new.detach().float().cpu().numpy() - weight
        if delta.any():
            yield path, weight, analyses.change_of(delta)


def _lora(module: Any, name: str) -> analyses.Change:
    if getattr(module, "lora_magnitude_vector", None):  # DoRA: no product of two factors
        return analyses.change_of(module.get_delta_weight(name).detach().float().cpu().numpy())
    b, a = (getattr(module, part)[name].weight.detach().float().cpu().numpy() for part in ("lora_B", "lora_A"))
    return analyses.low_rank_change(b, a, module.scaling[name])


def _changes(base: "Loaded", tuned: "Loaded", seen: Mapping[str, Seen],
             tests: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:  # fmt: skip
    from counterpoise.models import lora_targets

    rows = []
    with Progress("decomposing", len(lora_targets(base.model)), unit="weights") as progress:
        for path, weight, change in changes(base, tuned):
            space = analyses.column_space(weight, center=False)
            size = float(np.sqrt((change.values**2).sum()))
            row: dict[str, Any] = {
                "path": path, "layer": layer_of(path), "relative_norm": size / max(float(np.linalg.norm(weight)), TINY),
                "rank_90": change.rank_of(), "effective_rank": change.effective_rank,
                "outside": float(analyses.outside(change.left[:, :TOP], space).mean()),
                "outside_by_chance": analyses.by_chance(space),
            }  # fmt: skip
            if path.rpartition(".")[2] in UP:
                row["response"] = {}
                for kind, harmful in tests.items():
                    each = analyses.response(change, seen[kind].entering[path], TOP).sum(1)
                    row["response"][kind] = {
                        "harmful": float(each[harmful].mean()),
                        "benign": float(each[~harmful].mean()),
                    }
            rows.append(row)
            progress.advance()
    if not rows:
        raise InputError(f"{tuned.name}: no linear layer of its language model differs from the base's")
    return rows


def layer_of(path: str) -> int:
    """Number of the block in a module path, from 1; 0 outside of blocks."""
    found = re.search(r"\.(\d+)\.", path)
    return int(found[1]) + 1 if found else 0


def scaled(base: "Loaded", artifact: Artifact, alpha: float, out: Path) -> Artifact:
    """The correction at `alpha` times its size, as an artifact that every command loads: `W_base + alpha dW`. 0 is the
    base, 1 the correction, more extrapolates along it.

    An adapter stays an adapter (its `lora_B` times alpha), all else becomes an edit of the base. Raises InputError for
    what has no difference to scale: a steering, DoRA, adapters that replace whole modules.
    """
    from counterpoise.models import TensorEdit, load, read_artifact, save_edit

    if not math.isfinite(alpha):
        raise InputError(f"alpha {alpha}: give a number, such as 0.5")
    if artifact.kind == "adapter":
        _scale_adapter(artifact.path, alpha, out)
        return read_artifact(out)
    if artifact.kind == "edit":
        return _saved(save_edit, out, base, _scaled_edit(base, artifact, alpha), artifact, alpha)
    if artifact.kind != "weights":
        raise InputError(f"{artifact.path}: a {artifact.kind} changes no weight; there is nothing to scale")
    tuned = load(str(artifact.path), dtype=base.dtype, device=base.device)
    new = dict(tuned.model.named_parameters())
    made = []
    for name, parameter in base.model.named_parameters():
        if name not in new or new[name].shape != parameter.shape:
            raise InputError(f"{artifact.path}: has no {name} of the base's shape")
        delta = new[name].detach().float() - parameter.detach().float()
        if bool(delta.any()):
            made.append(TensorEdit(name, "add", alpha * delta))
    return _saved(save_edit, out, base, made, artifact, alpha)


def _saved(
    save: Callable[..., Artifact], out: Path, base: "Loaded", edits: Sequence[Any], artifact: Artifact, alpha: float
) -> Artifact:
    """The edit on disk, with the system text that the correction is served with."""
    if not all(bool(each.values.isfinite().all()) for each in edits):
        raise InputError(f"alpha {alpha:g}: the change becomes inf; choose a smaller one")
    made = save(out, base, edits)
    _served_alike(artifact.path, out)
    return made


def _served_alike(folder: Path, out: Path) -> None:
    from counterpoise.models import save_system, served_system

    if text := served_system(folder):
        save_system(out, text)


def _scaled_edit(base: "Loaded", artifact: Artifact, alpha: float) -> list[Any]:
    import dataclasses

    from torch import unravel_index

    from counterpoise.models import read_edit

    parameters, made = dict(base.model.named_parameters(remove_duplicate=False)), []
    for each in read_edit(artifact.path).tensors:
        if each.name not in parameters:
            raise InputError(f"{artifact.path}: edits {each.name}, which {base.name} does not have")
        values = each.values.float()
        if each.op == "add":
            values = alpha * values
        elif each.op == "scale":
            values = 1 + alpha * (values - 1)
        else:
            old = parameters[each.name].detach().float().cpu()
            old = old if each.indices is None else old[unravel_index(each.indices, old.shape)]
            values = old + alpha * (values - old)
        made.append(dataclasses.replace(each, values=values))
    return made


def _scale_adapter(folder: Path, alpha: float, out: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save

    from counterpoise.base import atomic_write

    config = read_json(folder / "adapter_config.json")
    plain = config.get("peft_type") == "LORA" and config.get("bias", "none") == "none"
    if not plain or config.get("use_dora") or config.get("modules_to_save"):
        raise InputError(f"{folder}: only plain LoRA can be scaled (no DoRA, no biases, no whole modules)")
    try:
        tensors = load_file(folder / "adapter_model.safetensors")
    except SafetensorError as error:
        raise InputError(f"{folder}: adapter_model.safetensors is damaged ({error}); copy it again") from error
    scaled = {name: value * alpha if ".lora_B." in name or ".lora_embedding_B" in name else value
              for name, value in tensors.items()}  # fmt: skip
    if not all(bool(value.isfinite().all()) for value in scaled.values()):
        raise InputError(f"alpha {alpha:g}: the change becomes inf; choose a smaller one")
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / "adapter_model.safetensors", "wb") as file:
        file.write(save(scaled))
    shutil.copyfile(folder / "adapter_config.json", out / "adapter_config.json")
    _served_alike(folder, out)
