"""One progress bar for all long work: rate and time left on a terminal, a line now and then elsewhere; and notices."""

import sys
import time
from types import TracebackType


class Progress:
    """Count finished items. On a terminal one line is redrawn; in a log file a line appears every 30 seconds."""

    def __init__(self, title: str, total: int, *, unit: str = "rows", done: int = 0):
        self.title, self.total, self.unit, self.done, self.first = title, total, unit, done, done
        self.start = self.shown = time.monotonic()
        self.live = sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show(last=True)

    def advance(self, n: int = 1, note: str = "") -> None:
        self.done += n
        now = time.monotonic()
        if now - self.shown >= (0.2 if self.live else 30):
            self.shown = now
            self._show(note=note)

    def _show(self, *, note: str = "", last: bool = False) -> None:
        passed = max(time.monotonic() - self.start, 1e-6)
        rate = (self.done - self.first) / passed
        left = f"{(self.total - self.done) / rate:.0f} s left" if rate > 0 and not last else f"{passed:.0f} s"
        text = f"{self.title}: {self.done}/{self.total} {self.unit}, {rate:.1f}/s, {left} {note}".rstrip()
        sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if last else "") if self.live else f"{text}\n")
        sys.stderr.flush()


def notice(text: str) -> None:
    """One line on stderr about work that did not go the straight way; a progress bar goes on below it."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}{text}\n")
    sys.stderr.flush()
