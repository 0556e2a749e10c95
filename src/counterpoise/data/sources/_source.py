"""What a source of rows declares: where it is, which of its files are wanted, and how they lie in the data folder."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from counterpoise.base import InputError

MB, GB = 1_000_000, 1_000_000_000


@dataclass(frozen=True)
class Hub:
    """A data set of the Hugging Face hub. Without a revision the first fetch pins the newest commit."""

    repo: str
    revision: str | None = None

    @property
    def place(self) -> str:
        return f"huggingface.co/datasets/{self.repo}"


@dataclass(frozen=True)
class GitHub:
    """Files of a public git repository at a commit. Without one the first fetch pins the newest."""

    repo: str
    revision: str | None = None

    @property
    def place(self) -> str:
        return f"github.com/{self.repo}"


@dataclass(frozen=True)
class Release:
    """Files attached to a release of a GitHub repository; the tag is its revision."""

    repo: str
    revision: str

    @property
    def place(self) -> str:
        return f"github.com/{self.repo}"


Origin = Hub | GitHub | Release


@dataclass(frozen=True)
class Take:
    """Files as they are. `to` is a file of the data folder, or a folder (it ends with /) in which the matching files
    keep their paths below the part of the pattern that has no wildcard. `*` stays within a folder, `**` does not."""

    pattern: str
    to: str
    sha256: str = ""
    """Of the one file, where it is known before the first fetch."""


@dataclass(frozen=True)
class Unzip:
    """The content of one archive (.zip, .tar, .tar.gz) in the folder `to`, without the leading folder `strip` where its
    names have it."""

    pattern: str
    to: str
    strip: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Pictures:
    """An image column of a Parquet table as one file per row; `{column}` in `to` stands for the row's value."""

    pattern: str
    to: str
    column: str = "image"
    sha256: str = ""


@dataclass(frozen=True)
class AnyOf:
    """The first of several forms of the same files that the source has."""

    forms: "tuple[tuple[FilePart, ...], ...]"


@dataclass(frozen=True)
class AlsoNamed:
    """Copies under the names that a table uses, where the published files have another extension."""

    folder: str
    table: str
    column: str


FilePart = Take | Unzip | Pictures
Part = FilePart | AnyOf | AlsoNamed


@dataclass(frozen=True)
class Source:
    """Rows that can be fetched. What is not proven stays empty here: the first fetch records it in the data card."""

    name: str
    title: str
    origin: Origin
    parts: tuple[Part, ...]
    licence: str
    gate: str = ""
    """What the authors ask for before they give the files; empty: nothing."""
    size: int | None = None
    """Bytes to download; None: said when its files are listed."""
    limit: int = 2 * GB
    """Most bytes that are downloaded, and unpacked again at most three times as many."""
    serves: tuple[str, ...] = ()
    """Methods whose papers train on it, or what else needs it; empty for the rows of a benchmark."""
    note: str = ""

    @property
    def page(self) -> str:
        return f"https://{self.origin.place}"

    @property
    def command(self) -> str:
        """What fetches it."""
        return f"counterpoise data fetch {self.name}"


@dataclass(frozen=True)
class Remote:
    """One file of a source, with what its origin says of it."""

    path: str
    size: int | None = None
    sha256: str = ""
    blob: str = ""
    """Git's own SHA-1 of the content."""


@dataclass(frozen=True)
class Listing:
    """All files of a source at one commit."""

    revision: str
    files: tuple[Remote, ...]


def chosen(source: Source, listing: Listing) -> list[tuple[FilePart, list[Remote]]]:
    """The wanted files of every part. Raises InputError for a part that matches nothing, for one file wanted where
    several match, and for a name that leaves its folder."""
    for file in listing.files:
        relative(file.path, source.name)
    found: list[tuple[FilePart, list[Remote]]] = []
    for part in source.parts:
        if isinstance(part, AlsoNamed):
            continue
        form = _first(source, part, listing) if isinstance(part, AnyOf) else (part,)
        for each in form:
            found.append((each, _matching(source, each, listing)))
    return found


def _first(source: Source, part: AnyOf, listing: Listing) -> tuple[FilePart, ...]:
    for form in part.forms:
        if all(any(matches(each.pattern, file.path) for file in listing.files) for each in form):
            return form
    wanted = " or ".join(" and ".join(each.pattern for each in form) for form in part.forms)
    raise _absent(source, wanted, listing)


def _matching(source: Source, part: FilePart, listing: Listing) -> list[Remote]:
    files = [file for file in listing.files if matches(part.pattern, file.path)]
    if not files:
        raise _absent(source, part.pattern, listing)
    if len(files) > 1 and (isinstance(part, Unzip) or not (isinstance(part, Pictures) or part.to.endswith("/"))):
        names = ", ".join(file.path for file in files[:3])
        raise InputError(f"{source.name}: {len(files)} files match {part.pattern} where one is wanted ({names}, ...)")
    return files


def _absent(source: Source, pattern: str, listing: Listing) -> InputError:
    return InputError(
        f"{source.name}: {source.page} at {listing.revision[:12]} has no {pattern}; its layout has changed, so get the "
        "files by hand and report this"
    )


def matches(pattern: str, path: str) -> bool:
    """Whether a path fits a pattern: `*` and `?` within one folder, `**` across folders."""
    text = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return re.fullmatch(text, path) is not None


def fixed(pattern: str) -> str:
    """The folders at the start of a pattern that hold no wildcard, with a final /; may be empty."""
    head: list[str] = []
    for part in pattern.split("/")[:-1]:
        if re.search(r"[*?]", part):
            break
        head.append(part)
    return "".join(f"{part}/" for part in head)


def target(part: Take, path: str) -> str:
    """Where a taken file lies in the data folder."""
    return part.to + path.removeprefix(fixed(part.pattern)) if part.to.endswith("/") else part.to


def relative(name: str, where: str) -> str:
    """A name from a listing, an archive or a row, with / between its parts. Raises InputError when it is absolute, has
    a drive letter, climbs with `..`, or holds what no file name should: such a name could write anywhere."""
    text = name.replace("\\", "/")
    parts = text.split("/")
    wrong = not text or text.startswith("/") or ".." in parts or "" in parts[:-1] or "." in parts
    if wrong or re.match(r"[A-Za-z]:", text) or any(ord(letter) < 32 for letter in text) or len(text) > 1000:
        raise InputError(f"{where}: the file name {name[:80]!r} could leave the data folder; nothing was written")
    return text


def folded(sources: Iterable[Source]) -> Iterator[Source]:
    """Each source once, in order."""
    seen: set[str] = set()
    for source in sources:
        if source.name not in seen:
            seen.add(source.name)
            yield source
