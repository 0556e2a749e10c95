"""What every room needs: errors a user can act on, files that are never half-written, the scorecard row."""

from ._addresses import public_address
from ._artifact import Artifact, ArtifactKind
from ._environment import environment, git_commit, launched_processes, launched_rank, versions
from ._errors import InputError, MissingPackageError, first_line, require
from ._files import atomic_write, check_writable, json_line, sha256_bytes, sha256_file, write_json
from ._limit import Limit, read_limit
from ._lock import LOCK, only_process
from ._progress import Progress, clock, notice
from ._read import (
    check_values,
    fault,
    load_yaml,
    parse_json,
    read_csv,
    read_json,
    read_jsonl,
    read_text,
    read_yaml,
    text_lines,
)
from ._rows import Direction, Row, load_rows, save_rows

__all__ = [
    "LOCK",
    "Artifact",
    "ArtifactKind",
    "Direction",
    "InputError",
    "Limit",
    "MissingPackageError",
    "Progress",
    "Row",
    "atomic_write",
    "check_values",
    "check_writable",
    "clock",
    "environment",
    "fault",
    "first_line",
    "git_commit",
    "json_line",
    "launched_processes",
    "launched_rank",
    "load_rows",
    "load_yaml",
    "notice",
    "only_process",
    "parse_json",
    "public_address",
    "read_csv",
    "read_json",
    "read_jsonl",
    "read_limit",
    "read_text",
    "read_yaml",
    "require",
    "save_rows",
    "sha256_bytes",
    "sha256_file",
    "text_lines",
    "versions",
    "write_json",
]
