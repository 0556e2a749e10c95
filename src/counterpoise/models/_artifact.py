"""An artifact is known by what is in its folder: a PEFT adapter, a whole model, an edit of some weights, a steering."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from counterpoise.base import Artifact, ArtifactKind, InputError

from ._edit import apply_edit, is_edit, merge_edit
from ._loaded import Loaded
from ._serving import served_system
from ._source import find_folder, fingerprint, is_adapter
from ._steering import is_steering, steer


def read_artifact(path: str | Path) -> Artifact:
    """The artifact in a folder (or of a hub id), with a fingerprint of its files' content, wherever they are.

    A steering holds `steering.json`, an edit `edit.json`, a PEFT adapter `adapter_config.json`, a whole model
    `config.json` and safetensors.
    Raises InputError for a folder that is not there, holds none of them, or lacks its tensors.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or folder.parts[:1] == ("..",) or len(folder.parts) != 2:
            raise InputError(f"{folder}: no such folder; give that of an adapter, a whole model or an edit")
        folder = find_folder(str(path))
    kind = _kind(folder)
    if kind == "adapter" and not (folder / "adapter_model.safetensors").is_file():
        raise InputError(f"{folder}: no adapter_model.safetensors there; is the training finished?")
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder}: no *.safetensors there; is the training finished?")
    return Artifact(kind, folder, fingerprint(folder, None, {}))


def _kind(folder: Path) -> ArtifactKind:
    if is_edit(folder):
        return "edit"
    if is_steering(folder):
        return "steering"
    if is_adapter(folder) and not (folder / "config.json").is_file():
        return "adapter"
    if (folder / "config.json").is_file():
        return "weights"
    raise InputError(
        f"{folder}: neither an adapter (adapter_config.json), a whole model (config.json), an edit (edit.json) nor a "
        "steering (steering.json)"
    )


def load_with(
    load: Callable[..., Loaded],
    name: str,
    artifact: Artifact | str | Path,
    adapter: str | Path | None,
    options: Mapping[str, Any],
) -> Loaded:
    """What `load(name, artifact=...)` returns: the base `name` with the artifact on it, proven to act.

    An adapter is put on, an edit is applied (both are merged with `merge`), a steering is hooked in, and a whole model
    is loaded in place of the base, whose name the records keep.
    """
    made = artifact if isinstance(artifact, Artifact) else read_artifact(artifact)
    if adapter is not None:
        raise InputError(f"{name}: give an adapter or {made.path}, not both")
    if made.kind == "adapter":
        return dataclasses.replace(load(name, adapter=made.path, **options), artifact=made)
    if made.kind == "weights":
        whole = load(str(made.path), **{**options, "merge": False, "revision": None})
        return dataclasses.replace(whole, name=name, artifact=made)
    if made.kind == "steering":  # it has no weights that could be merged
        return steer(load(name, **{**options, "merge": False}), made)
    edited = apply_edit(load(name, **options), made)
    edited = dataclasses.replace(edited, system=served_system(made.path) or edited.system)
    return merge_edit(edited) if options.get("merge") else edited
