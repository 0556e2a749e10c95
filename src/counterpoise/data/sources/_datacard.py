"""The data card of a fetched source: what was taken from where, under which licence, and the hash of every file."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, atomic_write, read_json, sha256_file, write_json

FOLDER = "cards"


@dataclass(frozen=True)
class Kept:
    """A file: of the source (as published), or of the data folder."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class DataCard:
    """One source as it lies in a data folder."""

    name: str
    title: str
    page: str
    revision: str
    pinned: str
    """"declared": the revision was known before; "first fetch": this fetch chose it, and later ones keep to it."""
    licence: str
    gate: str
    accepted: str
    """How its terms were accepted: "asked", or "--accept-licence"."""
    fetched: str
    """Date and time (UTC)."""
    counterpoise: str
    note: str
    downloads: tuple[Kept, ...]
    files: tuple[Kept, ...]

    @property
    def size(self) -> int:
        return sum(each.size for each in self.files)

    def downloaded(self) -> dict[str, str]:
        """SHA-256 of every published file by its path."""
        return {each.path: each.sha256 for each in self.downloads}

    def save(self, root: Path) -> None:
        """`cards/NAME.json`, and the same to read as `cards/NAME.md`."""
        with atomic_write(root / FOLDER / f"{self.name}.md") as file:
            file.write(self.text())
        write_json(root / FOLDER / f"{self.name}.json", asdict(self))  # last: it is what counts

    def text(self) -> str:
        """The card in Markdown."""
        facts = {
            "Source": self.page,
            "Revision": f"`{self.revision}` ({self.pinned})",
            "Licence": self.licence,
            "Gate": self.gate or "none",
            "Terms accepted": self.accepted,
            "Fetched": self.fetched,
            "By": f"counterpoise {self.counterpoise}",
            "Files": f"{len(self.files):,}, {self.size:,} bytes",
        }
        rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
        shown = "\n".join(
            f"- `{each.path}` ({each.size:,} bytes, SHA-256 `{each.sha256}`)" for each in self.downloads[:50]
        )
        more = f"\n- and {len(self.downloads) - 50:,} more, in {self.name}.json" if len(self.downloads) > 50 else ""
        note = f"{self.note}\n\n" if self.note else ""
        return f"# {self.title}\n\n{note}| | |\n|---|---|\n{rows}\n\nTaken from the source:\n\n{shown}{more}\n"


def read_card(root: Path, name: str) -> DataCard | None:
    """The card of a source, or None when it was not fetched into this folder. Raises InputError for a broken one."""
    file = root / FOLDER / f"{name}.json"
    return _parse(file) if file.is_file() else None


def read_cards(root: Path) -> list[DataCard]:
    """All cards of a data folder, by name. Raises InputError for a broken one."""
    return [_parse(file) for file in sorted((root / FOLDER).glob("*.json"))]


def _parse(file: Path) -> DataCard:
    value: Any = read_json(file)
    try:
        lists = {key: tuple(Kept(**each) for each in value[key]) for key in ("downloads", "files")}
        return DataCard(**{**value, **lists})
    except (TypeError, KeyError) as error:
        raise InputError(f"{file}: not a data card ({error}); remove it, and fetch again") from error


def complete(root: Path, card: DataCard) -> bool:
    """Whether every file of a card is there with its size."""
    for each in card.files:
        try:
            if (root / each.path).stat().st_size != each.size:
                return False
        except OSError:
            return False
    return True


def differences(root: Path, card: DataCard) -> list[str]:
    """Files of a card that are missing or have other content, in one line each."""
    found = []
    for each in card.files:
        file = root / each.path
        if not file.is_file():
            found.append(f"{each.path}: missing")
        elif file.stat().st_size != each.size or sha256_file(file) != each.sha256:
            found.append(f"{each.path}: changed since it was fetched")
    return found
