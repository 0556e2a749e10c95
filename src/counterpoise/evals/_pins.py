"""Commits of the sources of rows: those that are known, and those that a data folder itself records."""

from pathlib import Path

NOT_PINNED = "not pinned"
PINS = {
    "github.com/ThuCCSLab/FigStep": "0861b17b3d67887c06ee3534ec65b3012f9becb7",
    "github.com/alexandrasouly/strongreject": "3432b2d696b428f242bd507df96d80f686571d5e",
    "github.com/centerforaisafety/HarmBench": "c0423b9",
    "github.com/isXinLiu/MM-SafetyBench": "b80eedea3db312c09ded2082813390f68e750ef3",
    "github.com/xirui-li/MOSSBench": "8d68b0614b39d8990a508e03d99975832f399db2",
    "huggingface.co/datasets/MMMU/MMMU": "171b0ef74cd1704464e6940860968009d8cdd59a",
    "huggingface.co/datasets/TIGER-Lab/MMLU-Pro": "527feea0afed1de15a8c115abf7be4c912123315",
    "huggingface.co/datasets/allenai/ai2_arc": "210d026faf9955653af8916fad021475a3f00453",
    "huggingface.co/datasets/sinwang/SIUO": "024e80a01795376b9fed12f8073a12f2275f22ee",
}
"""By source; the commits that PyRIT 1.1 and inspect_evals 0.26 pin. Fetch these for numbers that others can repeat."""


def pin(source: str) -> str:
    """The commit to fetch a source at, or `not pinned`: then the count of rows and the hash of the run's items are what
    identifies them."""
    return next((commit for place, commit in PINS.items() if source.split(" ")[0].rstrip(",") == place), NOT_PINNED)


def recorded_commits(root: Path | None) -> dict[str, str]:
    """{folder: commit} of the data folders that say where they were taken from: a git checkout, or a download of the
    hub's own client, which notes the commit of every file. Folders with files of several commits name them all."""
    found = {}
    for folder in sorted(root.iterdir()) if root is not None and root.is_dir() else []:
        commits = {_git(folder)} | {
            _first_line(file) for file in folder.glob(".cache/huggingface/download/**/*.metadata")
        }
        if known := sorted(commits - {""}):
            found[folder.name] = ", ".join(known)
    return found


def _git(folder: Path) -> str:
    head = _first_line(folder / ".git" / "HEAD")
    return _first_line(folder / ".git" / head.removeprefix("ref: ")) if head.startswith("ref: ") else head


def _first_line(file: Path) -> str:
    try:
        line = file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return line if line.startswith("ref: ") or (len(line) >= 7 and line.isalnum()) else ""
