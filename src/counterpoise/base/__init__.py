"""What every room needs: errors a user can act on, files that are never half-written, the scorecard row."""

from ._addresses import public_address
from ._artifact import Artifact, ArtifactKind
from ._environment import environment, git_commit, launched_processes, launched_rank, versions
from ._errors import InputError, MissingPackageError, require
from ._files import atomic_write, load_yaml, read_json, read_jsonl, sha256_bytes, sha256_file, write_json
from ._progress import Progress, notice
from ._rows import Direction, Row, load_rows, save_rows

__all__ = [
    "Artifact",
    "ArtifactKind",
    "Direction",
    "InputError",
    "MissingPackageError",
    "Progress",
    "Row",
    "atomic_write",
    "environment",
    "git_commit",
    "launched_processes",
    "launched_rank",
    "load_rows",
    "load_yaml",
    "notice",
    "public_address",
    "read_json",
    "read_jsonl",
    "require",
    "save_rows",
    "sha256_bytes",
    "sha256_file",
    "versions",
    "write_json",
]
