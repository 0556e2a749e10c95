"""Fetching: list, ask, download, check, build, show. Killed anywhere, the same command continues, and readers never see
a half of it."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from counterpoise import __version__
from counterpoise.base import InputError, Progress, only_process, sha256_file

from ._build import build, each_file
from ._check import checked
from ._datacard import DataCard, Kept, complete, read_card
from ._github import GitHubClient, ReleaseClient
from ._hub import HubClient
from ._source import FilePart, GitHub, Hub, Listing, Remote, Source, chosen

WORK = ".fetch"
AT_ONCE = 8  # files in flight, as many as the hub's own client takes


class Client(Protocol):
    """How the files of an origin are listed and got."""

    def listing(self, revision: str | None) -> Listing: ...

    def get(self, listing: Listing, remote: Remote, staging: Path, *, again: bool = False) -> tuple[Path, Remote]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Plan:
    """What fetching one source would take."""

    source: Source
    listing: Listing
    parts: list[tuple[FilePart, list[Remote]]]
    card: DataCard | None

    @property
    def files(self) -> list[Remote]:
        return list({each.path: each for _, files in self.parts for each in files}.values())

    @property
    def size(self) -> int | None:
        """Bytes to download; None when neither its origin nor its declaration says."""
        sizes = [each.size for each in self.files]
        return self.source.size if None in sizes else sum(size or 0 for size in sizes)


def client(source: Source) -> Client:
    """The client of a source's origin."""
    origin = source.origin
    if isinstance(origin, Hub):
        return HubClient(source, origin)
    return GitHubClient(source, origin) if isinstance(origin, GitHub) else ReleaseClient(source, origin)


def present(source: Source, root: Path) -> bool:
    """Whether a source was fetched whole into this folder, at the revision that it declares."""
    card = read_card(root, source.name)
    pinned = card is not None and source.origin.revision in (None, card.revision)
    return card is not None and pinned and complete(root, card) and not interrupted(root, source.name)


def interrupted(root: Path, name: str) -> bool:
    """Whether a fetch was stopped while it put its files in place: they must not be read then."""
    return (root / WORK / name / "placing").exists()


def plan(source: Source, root: Path) -> Plan:
    """Ask a source's origin for its list of files. A source without a declared revision keeps to the one of the first
    fetch. Raises InputError, also when there is more of it than the source may have."""
    card = read_card(root, source.name)
    revision = source.origin.revision or (card.revision if card else None)
    asked = client(source)
    try:
        listing = asked.listing(revision)
    finally:
        asked.close()
    same = card if card and card.revision == listing.revision else None
    made = Plan(source, listing, chosen(source, listing), same)
    if (made.size or 0) > source.limit:
        raise InputError(
            f"{source.name}: {made.size:,} bytes at {source.page}, more than the {source.limit:,} that it may have; "
            "it is not what was declared, so get it by hand"
        )
    return made


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """One process at a time fetches into a data folder. Raises InputError for the second, and for a folder that cannot
    be written. A killed process leaves no lock."""
    with only_process(
        root / WORK, "fetches into this folder", "start again when it has ended",
        "set COUNTERPOISE_DATA to another folder",
    ):  # fmt: skip
        yield


def fetch(made: Plan, root: Path, accepted: str) -> DataCard:
    """Download, check and build one planned source, put it in place and write its data card. To be called under
    `locked`. Raises InputError, and then nothing in the data folder has changed; what was downloaded stays for the next
    try unless it was wrong."""
    source, work = made.source, root / WORK / made.source.name
    try:
        (work / "download").mkdir(parents=True, exist_ok=True)
        local, downloads = _download(made, work / "download")
        out = work / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        build(source, [(part, [each.path for each in files]) for part, files in made.parts], local, out)
        card = DataCard(
            source.name, source.title, source.page, made.listing.revision,
            "declared" if source.origin.revision else "first fetch", source.licence, source.gate, accepted,
            datetime.now(UTC).isoformat(timespec="seconds"), __version__, source.note, downloads, _kept(out),
        )  # fmt: skip
        _place(card, out, root, work)
    except OSError as error:
        raise InputError(
            f"{source.name}: {error.filename or root}: {error.strerror or error}; the same command continues then"
        ) from error
    shutil.rmtree(work, ignore_errors=True)
    return card


def _download(made: Plan, staging: Path) -> tuple[dict[str, Path], tuple[Kept, ...]]:
    """All files, some at a time, each checked. The first failure ends it; what came before stays for the next try."""
    declared = {
        each.path: part.sha256 for part, files in made.parts for each in files if part.sha256 and len(files) == 1
    }
    recorded = made.card.downloaded() if made.card else {}
    asked = client(made.source)

    def one(remote: Remote) -> tuple[str, Path, Kept]:
        for again in (False, True):  # a copy that does not fit may be an old or broken one: once more, past all caches
            file, meant = asked.get(made.listing, remote, staging, again=again)
            try:
                digest = checked(
                    file, meant, made.source.name, declared=declared.get(remote.path, ""),
                    recorded=recorded.get(remote.path, ""),
                )  # fmt: skip
            except InputError:
                if again:
                    if file.is_relative_to(staging):
                        file.unlink(missing_ok=True)
                    raise
                continue
            return remote.path, file, Kept(remote.path, file.stat().st_size, digest)
        raise AssertionError("unreachable")

    try:
        with Progress(made.source.name, len(made.files), unit="files") as progress, ThreadPoolExecutor(AT_ONCE) as pool:
            found = []
            waiting = [pool.submit(one, remote) for remote in made.files]
            try:
                for each in waiting:
                    found.append(each.result())
                    progress.advance()
            except BaseException:
                for each in waiting:
                    each.cancel()
                raise
    finally:
        asked.close()
    return {path: file for path, file, _ in found}, tuple(kept for _, _, kept in found)


def _kept(folder: Path) -> tuple[Kept, ...]:
    found: list[Kept] = []
    each_file(folder, lambda path, file: found.append(Kept(path, file.stat().st_size, sha256_file(file))))
    return tuple(found)


def _place(card: DataCard, out: Path, root: Path, work: Path) -> None:
    """Move the built files to their places, one atomic rename each, and write the card at the end. While that goes on,
    a marker keeps readers away. Raises InputError before the first move when a file of somebody else would go."""
    before = read_card(root, card.name)
    ours = {each.path for each in before.files} if before else set()
    # a run that was killed here has moved some files already: they have the same content
    moving = [each for each in card.files if not _same(root / each.path, each)]
    resolved = root.resolve()
    for each in moving:
        target = root / each.path
        if not target.parent.resolve().is_relative_to(resolved):
            raise InputError(f"{card.name}: {target.parent} is a link out of the data folder; remove it")
        if each.path not in ours and (target.exists() or target.is_symlink()):
            raise InputError(
                f"{card.name}: {target} is here with other content and was not fetched by this command; move it away, "
                "or set COUNTERPOISE_DATA to another folder"
            )
    (work / "placing").touch()
    for each in moving:
        target = root / each.path
        target.parent.mkdir(parents=True, exist_ok=True)
        (out / each.path).replace(target)
    for path in ours - {each.path for each in card.files}:
        (root / path).unlink(missing_ok=True)
    card.save(root)
    (work / "placing").unlink()


def _same(file: Path, kept: Kept) -> bool:
    return (
        file.is_file()
        and not file.is_symlink()
        and file.stat().st_size == kept.size
        and sha256_file(file) == kept.sha256
    )


Ask = Callable[[Sequence[Plan]], str]
"""Shows what would be fetched and returns how its terms were accepted; raises when they were not."""


@dataclass(frozen=True)
class Fetched:
    """What a fetch of several sources did."""

    done: list[DataCard]
    here: list[str]
    """Sources that were whole before."""
    failed: dict[str, str]


def fetch_all(sources: Sequence[Source], root: Path, ask: Ask) -> Fetched:
    """Fetch what is not here yet, after asking once. One source that fails does not stop the others. Raises InputError
    when the folder is locked or cannot be written, and whatever `ask` raises."""
    with locked(root):
        here = [each.name for each in sources if present(each, root)]
        plans, failed = [], {}
        for each in sources:
            if each.name in here:
                continue
            try:
                plans.append(plan(each, root))
            except InputError as error:
                failed[each.name] = str(error)
        if not plans:
            return Fetched([], here, failed)
        accepted, done = ask(plans), []
        for made in plans:
            try:
                done.append(fetch(made, root, accepted))
            except InputError as error:
                failed[made.source.name] = str(error)
        return Fetched(done, here, failed)
