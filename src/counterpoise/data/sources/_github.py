"""Files of public git repositories at a commit, and files attached to a release."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import quote

from counterpoise.base import InputError

from ._addresses import Gate, endpoint
from ._check import checked
from ._source import GitHub, Listing, Release, Remote, Source, relative
from ._web import Web

MIRROR = "COUNTERPOISE_GITHUB_ENDPOINT"
"""A mirror with the paths of a GitHub server of one's own: /api/v3, /raw, /media and /OWNER/NAME/releases."""
LIST_LIMIT = 50_000_000
_POINTER = re.compile(rb"version https://git-lfs[^\n]*\n(?:[^\n]*\n)*?oid sha256:([0-9a-f]{64})\nsize (\d+)\n")


class GitHubClient:
    """Lists a repository's tree and gets its files. Git's own hash of every file comes with the tree."""

    def __init__(self, source: Source, origin: GitHub):
        self.source, self.origin = source, origin
        mirror = endpoint(MIRROR)
        self.api = f"{mirror}/api/v3" if mirror else "https://api.github.com"
        self.raw = f"{mirror}/raw" if mirror else "https://raw.githubusercontent.com"
        self.media = f"{mirror}/media" if mirror else "https://media.githubusercontent.com/media"
        self.web = Web(Gate(mirror))

    def listing(self, revision: str | None) -> Listing:
        """All files at a commit (None: the newest of the default branch). Raises InputError."""
        headers = {"Accept": "application/vnd.github+json"}
        if token := os.environ.get("GITHUB_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        base = f"{self.api}/repos/{self.origin.repo}"
        if revision is None:
            head = self.web.json(f"{base}/commits/HEAD", headers, LIST_LIMIT)
            revision = str(head.get("sha", "")) if isinstance(head, dict) else ""
            if not re.fullmatch("[0-9a-f]{40}", revision):
                raise InputError(f"{self.source.name}: {self.source.page} names no commit")
        tree = self.web.json(f"{base}/git/trees/{revision}?recursive=1", headers, LIST_LIMIT)
        entries = tree.get("tree") if isinstance(tree, dict) else None
        if not isinstance(entries, list) or tree.get("truncated"):
            raise InputError(f"{self.source.name}: {self.source.page} gives no whole list of its files")
        files = [each for each in entries if isinstance(each, dict) and each.get("type") == "blob"]
        return Listing(
            revision, tuple(Remote(str(each["path"]), each.get("size"), "", str(each.get("sha", ""))) for each in files)
        )

    def get(self, listing: Listing, remote: Remote, staging: Path, *, again: bool = False) -> tuple[Path, Remote]:
        """The file in the staging folder; what an earlier try brought whole is not asked for again."""
        place = f"{self.origin.repo}/{listing.revision}/{quote(relative(remote.path, self.source.name))}"
        file = staging / _name(remote.path)
        if again or not file.is_file():
            self.web.download(f"{self.raw}/{place}", file, self.source.limit if remote.size is None else remote.size)
        pointer = _POINTER.match(file.read_bytes()) if file.stat().st_size < 1000 else None
        if pointer is None:
            return file, remote
        checked(file, remote, self.source.name)  # the pointer's own hash; it names the hash of the content
        meant = Remote(remote.path, int(pointer[2]), pointer[1].decode())
        large = file.with_name(f"{file.name}.lfs")
        if again or not large.is_file():
            self.web.download(f"{self.media}/{place}", large, min(int(pointer[2]), self.source.limit))
        return large, meant

    def close(self) -> None:
        self.web.close()


class ReleaseClient:
    """Gets files attached to a release. They can be replaced under the same tag: the first fetch pins their hash."""

    def __init__(self, source: Source, origin: Release):
        self.source, self.origin = source, origin
        mirror = endpoint(MIRROR)
        self.base = f"{mirror or 'https://github.com'}/{origin.repo}/releases/download/{origin.revision}"
        self.web = Web(Gate(mirror))

    def listing(self, revision: str | None) -> Listing:
        """The files that the source itself names: a release has no list without GitHub's interface."""
        names = [part.pattern for part in self.source.parts if hasattr(part, "pattern")]
        return Listing(self.origin.revision, tuple(Remote(name) for name in names))

    def get(self, listing: Listing, remote: Remote, staging: Path, *, again: bool = False) -> tuple[Path, Remote]:
        """The file in the staging folder; what an earlier try brought whole is not asked for again."""
        file = staging / _name(remote.path)
        if again or not file.is_file():
            self.web.download(f"{self.base}/{quote(relative(remote.path, self.source.name))}", file, self.source.limit)
        return file, remote

    def close(self) -> None:
        self.web.close()


def _name(path: str) -> str:
    """A name of ours for a downloaded file: what its origin calls it decides nothing here."""
    return hashlib.sha256(path.encode()).hexdigest()[:24]
