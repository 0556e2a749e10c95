"""What an alignment leaves: an artifact, and a record from which it can be repeated."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from counterpoise.base import Artifact, environment, write_json

if TYPE_CHECKING:
    from counterpoise.models import Loaded


@dataclass(frozen=True)
class AlignResult:
    """The aligned model's files and what `run.json` holds."""

    artifact: Artifact
    run: dict[str, Any]


def write_run(
    out: Path,
    *,
    method: str,
    loaded: "Loaded",
    config: BaseModel,
    artifact: Path,
    data: Mapping[str, Any],
    train: Mapping[str, Any],
    timings: Mapping[str, float],
) -> AlignResult:
    """Write `out/run.json` and return the result, with the record as it reads back.

    Args:
        config: the settings as they were used, defaults resolved.
        artifact: the folder of the adapter, weights or edit; its kind and fingerprint are taken from its content.
        data: where rows came from, with their hashes.
        train: what the training counted.
        timings: seconds by stage.

    Raises InputError when `artifact` holds none, or nothing can be written.
    """
    from counterpoise.models import read_artifact

    made = read_artifact(artifact)
    place = artifact.resolve()
    inside = place.relative_to(out.resolve()).as_posix() if place.is_relative_to(out.resolve()) else str(place)
    run = {
        "method": method,
        "model": {
            "name": loaded.name,
            "fingerprint": loaded.fingerprint,
            "dtype": loaded.dtype,
            "device": loaded.device,
        },
        "config": config.model_dump(mode="json"),
        "artifact": {"kind": made.kind, "path": inside, "fingerprint": made.fingerprint},
        "data": dict(data),
        "train": dict(train),
        "timings": {name: round(seconds, 3) for name, seconds in timings.items()},
        **environment(),
    }
    run = json.loads(json.dumps(run))
    write_json(out / "run.json", run)
    return AlignResult(made, run)
