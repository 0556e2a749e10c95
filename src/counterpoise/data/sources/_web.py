"""Plain HTTPS downloads: resumed where they broke, bounded in size, not from private networks, patient when asked."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from counterpoise.base import InputError, notice

from ._addresses import Gate

if TYPE_CHECKING:
    import httpx

TRIES = 6
SECONDS = 30.0
LONGEST_WAIT = 300.0
AGAIN = (408, 429, 500, 502, 503, 504)


class Web:
    """One HTTP client for the files of a source."""

    def __init__(self, gate: Gate, sleep: Callable[[float], None] = time.sleep):
        import httpx

        self.sleep = sleep
        self.client = httpx.Client(
            follow_redirects=True,
            max_redirects=5,
            timeout=SECONDS,
            headers={"User-Agent": "counterpoise", "Accept-Encoding": "identity"},
            event_hooks={"request": [gate.request], "response": [gate.response]},
        )

    def __enter__(self) -> "Web":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.client.close()

    def json(self, url: str, headers: Mapping[str, str], limit: int) -> Any:
        """A JSON answer of at most `limit` bytes. Raises InputError."""
        import json

        body = bytearray()
        self._patiently(url, lambda: self._read(url, dict(headers), body, limit))
        try:
            return json.loads(body)
        except ValueError as error:
            raise InputError(f"{url}: the answer is no JSON ({error})") from error

    def download(self, url: str, to: Path, limit: int) -> None:
        """Into the file `to`, which appears only when it is whole; a part that an earlier try left is continued when
        the server still has the same file (by its ETag). Raises InputError."""
        part, tag = to.with_name(f"{to.name}.part"), to.with_name(f"{to.name}.etag")
        self._patiently(url, lambda: self._stream(url, part, tag, limit))
        part.replace(to)
        tag.unlink(missing_ok=True)

    def _read(self, url: str, headers: dict[str, str], body: bytearray, limit: int) -> None:
        body.clear()
        with self.client.stream("GET", url, headers=headers) as answer:
            _accept(answer, url)
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > limit:
                    raise InputError(f"{url}: more than {limit:,} bytes; nothing was kept")

    def _stream(self, url: str, part: Path, tag: Path, limit: int) -> None:
        known = tag.read_text(encoding="utf-8") if tag.is_file() and part.is_file() else ""
        start = part.stat().st_size if known else 0
        headers = {"Range": f"bytes={start}-", "If-Range": known} if start else {}
        with self.client.stream("GET", url, headers=headers) as answer:
            if answer.status_code == 416:  # the part is not a beginning of what is there now
                tag.unlink()
                raise _Broken("the part that was here does not fit")
            _accept(answer, url)
            start = start if answer.status_code == 206 else 0
            etag = answer.headers.get("etag", "")
            # a weak tag does not promise the same bytes; no sidecar then, and a broken download starts over
            tag.write_text("" if etag.startswith("W/") else etag, encoding="utf-8")
            expected = _length(answer, start)
            if expected is not None and expected > limit:
                raise InputError(f"{url}: {expected:,} bytes, more than the {limit:,} that this source may have")
            with part.open("ab" if start else "wb") as file:
                for piece in answer.iter_raw():
                    start += len(piece)
                    if start > limit:
                        raise InputError(f"{url}: more than the {limit:,} bytes that this source may have")
                    file.write(piece)
            if expected is not None and start != expected:
                raise _Broken(f"{start:,} of {expected:,} bytes came")

    def _patiently(self, url: str, work: Callable[[], None]) -> None:
        """Try again after a broken connection or a refusal that may pass; wait as long as the server asks."""
        import httpx

        for attempt in range(1, TRIES + 1):
            try:
                return work()
            except httpx.HTTPStatusError as error:
                wait = _wait(error.response, attempt)
                if error.response.status_code not in AGAIN or attempt == TRIES:
                    raise InputError(
                        f"{url}: the server answered {error.response.status_code}{_advice(error)}"
                    ) from error
                if wait > LONGEST_WAIT:
                    raise InputError(f"{url}: the server asks to wait {wait:.0f} s; try again then") from error
                notice(f"{url}: {error.response.status_code}; waiting {wait:.0f} s")
            except (httpx.TransportError, _Broken) as error:
                if attempt == TRIES:
                    raise InputError(
                        f"{url}: the connection broke {TRIES} times ({error}); the same command continues where it was"
                    ) from error
                wait = float(min(2**attempt, 30)) / 2
                notice(f"{url}: {type(error).__name__.strip('_')} ({error}); going on in {wait:.0f} s")
            except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
                raise InputError(f"{url}: {error}") from error
            self.sleep(wait)
        raise AssertionError("unreachable")


class _Broken(Exception):
    """A download that ended before its end."""


def _accept(answer: "httpx.Response", url: str) -> None:
    if answer.status_code not in (200, 206):
        answer.raise_for_status()
        raise InputError(f"{url}: the server answered {answer.status_code}")


def _length(answer: "httpx.Response", start: int) -> int | None:
    """Bytes of the whole file, when the server says so."""
    value = answer.headers.get("content-length", "")
    return start + int(value) if value.isdigit() else None


def _wait(answer: "httpx.Response", attempt: int) -> float:
    """Seconds that Retry-After asks for, as a number or a date; else a little more each time."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return float(min(2**attempt, 60))


def _advice(error: "httpx.HTTPStatusError") -> str:
    headers = error.response.headers
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdigit():
        until = datetime.fromtimestamp(int(headers["x-ratelimit-reset"]), UTC)
        return f": its limit of requests is used up until {until:%H:%M} UTC (set GITHUB_TOKEN for a higher one)"
    return {401: ": not allowed", 403: ": forbidden", 404: ": no such file; the source was rewritten"}.get(
        error.response.status_code, "; try again later"
    )
