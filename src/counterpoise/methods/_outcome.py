"""What an alignment leaves: an artifact, and a record from which it can be repeated."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from counterpoise.base import Artifact, InputError, environment, launched_rank, read_json, write_json


class OnDevice(Protocol):
    """A model of any kind in memory."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def device(self) -> str: ...


@dataclass(frozen=True)
class AlignResult:
    """The aligned model's files and what `run.json` holds."""

    artifact: Artifact
    run: dict[str, Any]


def claim(out: Path, method: str, loaded: OnDevice, config: BaseModel, *, resume: bool) -> None:
    """For methods that train nothing, before their work: raises InputError where `out` holds a run of another method or
    model, or with other settings, which would be replaced without a word. Without `resume` it may be."""
    file = out / "run.json"
    if not resume or not file.is_file():
        return
    known = read_json(file)
    known = known if isinstance(known, dict) else {}
    theirs = known.get("method"), (known.get("model") or {}).get("fingerprint"), known.get("config")
    if theirs != (method, loaded.fingerprint, config.model_dump(mode="json")):
        raise InputError(
            f"{out}: holds a run of {theirs[0] or 'something else'} with other settings or another model; "
            "choose another --out or --force"
        )


def write_run(
    out: Path,
    *,
    method: str,
    loaded: OnDevice,
    config: BaseModel,
    artifact: Artifact,
    data: Mapping[str, Any],
    train: Mapping[str, Any],
    timings: Mapping[str, float],
) -> AlignResult:
    """Write `out/run.json` and return the result, with the record as it reads back.

    Args:
        config: the settings as they were used, defaults resolved.
        artifact: what was made; a path below `out` is recorded as it is from there.
        data: where rows came from, with their hashes.
        train: what the training counted (of a `FitResult` all that `artifact` does not say).
        timings: seconds by stage.

    Raises InputError when nothing can be written.
    """
    place, top = artifact.path.resolve(), out.resolve()
    inside = place.relative_to(top).as_posix() if place.is_relative_to(top) else str(place)
    run = {
        "method": method,
        "model": {
            "name": loaded.name,
            "fingerprint": loaded.fingerprint,
            "dtype": loaded.dtype,
            "device": loaded.device,
        },
        "config": config.model_dump(mode="json"),
        "artifact": {"kind": artifact.kind, "path": inside, "fingerprint": artifact.fingerprint},
        "data": dict(data),
        "train": {name: value for name, value in train.items() if name not in ("adapter", "kind", "fingerprint")},
        "timings": {name: round(seconds, 3) for name, seconds in timings.items()},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **environment(),
    }
    run = json.loads(json.dumps(run))
    if launched_rank() == 0:
        write_json(out / "run.json", run)
    return AlignResult(artifact, run)
