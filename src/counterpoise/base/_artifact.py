"""What a correction leaves behind, whatever the method: the one value that every later command reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ArtifactKind = Literal["adapter", "weights", "edit", "steering"]


@dataclass(frozen=True)
class Artifact:
    """An aligned model's files."""

    kind: ArtifactKind
    """`adapter`: a PEFT folder to put on the base. `weights`: a whole model folder. `edit`: a small reversible change
    of some weights of the base. `steering`: vectors that are added to its states while it runs."""
    path: Path
    fingerprint: str
    """Short hash of its files' content: what cached answers are keyed by."""
