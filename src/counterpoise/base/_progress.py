"""One progress bar for all long work: rate and time left on a terminal, a line now and then elsewhere; and notices."""

import sys
import time
from types import TracebackType

TOLD = 5
"""Items after which a rate is told: the first ones of a batch arrive together, after the whole batch's time."""


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
        passed, new = max(time.monotonic() - self.start, 1e-6), self.done - self.first
        parts = [f"{self.title}: {self.done}/{self.total} {self.unit}"]
        if last or new >= TOLD or new * 2 >= self.total - self.first:
            left = (self.total - self.done) * passed / new if new else 0.0
            parts += [_pace(new / passed), clock(passed) if last else f"{clock(left)} left"]
        text = f"{', '.join(parts)} {note}".rstrip()
        sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if last else "") if self.live else f"{text}\n")
        sys.stderr.flush()


def clock(seconds: float) -> str:
    """A time as people say it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _pace(rate: float) -> str:
    return f"{rate:.1f}/s" if rate >= 0.1 or not rate else f"{1 / rate:.0f} s each"


def notice(text: str) -> None:
    """One line on stderr about work that did not go the straight way; a progress bar goes on below it."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}{text}\n")
    sys.stderr.flush()
