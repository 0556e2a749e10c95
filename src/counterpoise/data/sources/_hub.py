"""Files of the Hugging Face hub through its own client: its tokens, caches and endpoint are the user's own."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, sha256_bytes

from ._addresses import Gate, endpoint, guarded
from ._source import Hub, Listing, Remote, Source, relative


class HubClient:
    """Lists and gets the files of one data set. Broken connections are resumed, and refusals for haste waited out, by
    the client itself; files that its cache holds are not asked for again."""

    def __init__(self, source: Source, origin: Hub):
        self.source, self.origin = source, origin
        self.endpoint = endpoint("HF_ENDPOINT")
        self._open = ExitStack()
        self._guard()

    def _guard(self) -> None:
        """Until `close`: the library's own session is guarded, and its bars give way to one of ours over all files."""
        from huggingface_hub import get_session
        from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, though not in its __all__
            are_progress_bars_disabled,
            disable_progress_bars,
            enable_progress_bars,
        )

        self._open.enter_context(guarded(get_session(), Gate(self.endpoint)))
        if not are_progress_bars_disabled():
            disable_progress_bars()
            self._open.callback(enable_progress_bars)

    def listing(self, revision: str | None) -> Listing:
        """All files at a revision (None: the newest), with the commit that it is. Raises InputError."""
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        def ask() -> Listing:
            api = HfApi(endpoint=self.endpoint)
            commit = api.dataset_info(self.origin.repo, revision=revision).sha
            if not commit:
                raise InputError(f"{self.source.name}: {self.source.page} names no commit")
            tree = api.list_repo_tree(self.origin.repo, repo_type="dataset", revision=commit, recursive=True)
            files = [each for each in tree if isinstance(each, RepoFile)]
            return Listing(commit, tuple(_remote(each) for each in files))

        return self._said(ask, revision)  # type: ignore[no-any-return]

    def get(self, listing: Listing, remote: Remote, staging: Path, *, again: bool = False) -> tuple[Path, Remote]:
        """The file in the hub's cache; `again` asks past that cache, whose copy did not fit. Raises InputError."""
        from huggingface_hub import hf_hub_download

        name = relative(remote.path, self.source.name)
        aside = staging / f"{sha256_bytes(name.encode())[:24]}.again"
        shutil.rmtree(aside, ignore_errors=True)

        def ask() -> tuple[Path, Remote]:
            found = hf_hub_download(
                self.origin.repo, name, repo_type="dataset", revision=listing.revision, endpoint=self.endpoint,
                cache_dir=aside if again else None,
            )  # fmt: skip
            return Path(found), remote

        return self._said(ask, name)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Give the session back as it was."""
        self._open.close()

    def _said(self, ask: Any, what: str | None) -> Any:
        """Call, and turn the client's errors into one line."""
        from huggingface_hub import errors

        where, page = f"{self.source.name}: {what or 'the newest commit'}", self.source.page
        try:
            return ask()
        except errors.GatedRepoError as error:
            raise InputError(f"{self.source.name}: {gated(self.source)}") from error
        except errors.RepositoryNotFoundError as error:  # the hub says the same of a gated set without a token
            if self.source.gate:
                raise InputError(f"{self.source.name}: {gated(self.source)}") from error
            raise InputError(
                f"{where}: {page} is not there, or needs a token that may read it (hf auth login)"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise InputError(f"{where}: {page} has no such revision; the source was rewritten") from error
        except errors.LocalEntryNotFoundError as error:  # no answer, and the cache does not have it either
            raise InputError(f"{where}: no answer from {page} ({_line(error.__cause__ or error)})") from error
        except errors.EntryNotFoundError as error:
            raise InputError(f"{where}: {page} has no such file; the source was rewritten") from error
        except errors.OfflineModeIsEnabled as error:
            raise InputError(f"{where}: HF_HUB_OFFLINE is set; unset it to fetch") from error
        except errors.HfHubHTTPError as error:
            raise InputError(f"{where}: {page} answered {_line(error)}; try again later") from error
        except OSError as error:
            raise InputError(f"{where}: {_line(error)}; the same command continues where it was") from error
        except Exception as error:
            if type(error).__module__.startswith(("httpx", "httpcore")):
                raise InputError(f"{where}: no answer from {page} ({_line(error)}); try again later") from error
            raise


def gated(source: Source) -> str:
    """What to do about a gate, in one line."""
    terms = source.gate or "its authors give it to people who accept their terms"
    return f"gated: {terms}; accept at {source.page}, then log in (hf auth login, or HF_TOKEN) and fetch again"


def _remote(file: Any) -> Remote:
    return Remote(file.path, file.size, file.lfs.sha256 if file.lfs else "", file.blob_id or "")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
