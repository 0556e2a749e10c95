"""Commits that a data folder itself records of the rows in it."""

from pathlib import Path

from counterpoise.data.sources import read_cards


def recorded_commits(root: Path | None) -> dict[str, str]:
    """{source or folder: commit} of what says where it was taken from: the data cards of `counterpoise data fetch`, a
    git checkout, or a download of the hub's own client, which notes the commit of every file. Folders with files of
    several commits name them all. Raises InputError for a broken data card."""
    if root is None or not root.is_dir():
        return {}
    found = {card.name: card.revision for card in read_cards(root)}
    for folder in sorted(root.iterdir()):
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
