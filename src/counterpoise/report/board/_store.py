"""The board's file: one SQLite table to which rows are only ever added."""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from counterpoise.base import InputError, sha256_bytes
from counterpoise.evals.judges import Calibration

from ._calibrated import as_text, from_text
from ._entry import Entry, Group
from ._literature import packaged, packaged_texts

APPLICATION, VERSION = 0x43504244, 1
FIELDS = tuple(Entry.model_fields)
_COLUMNS = ", ".join(f'"{name}"' for name in FIELDS)
_TYPES = dict.fromkeys(("value", "ci_low", "ci_high"), "REAL") | dict.fromkeys(
    ("n", "n_unscored", "n_empty"), "INTEGER"
)


class Board:
    """A board in a file, closed at the end of its `with` block. A new file starts with the packaged literature, unless
    `literature` is off; a later version of the package adds what it corrected or knows more.

    Raises InputError for a file that is something else, was made by a newer version, or cannot be written.
    """

    def __init__(self, file: Path, *, literature: bool = True) -> None:
        self.file = file
        try:
            self._db = sqlite3.connect(file, timeout=30)
            self._open()
        except sqlite3.Error as error:
            raise InputError(f"{file}: not a board, or not writable ({error}); choose another --file") from error
        if literature:
            self._update_literature()

    def __enter__(self) -> "Board":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def _open(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and application != APPLICATION:
            self._db.close()
            raise InputError(f"{self.file}: a database, but not a board; choose another --file")
        if version > VERSION:
            self._db.close()
            raise InputError(f"{self.file}: made by a newer version of counterpoise; upgrade, or choose another --file")
        with self._db:
            columns = ", ".join(f'"{name}" {_TYPES.get(name, "TEXT NOT NULL")}' for name in FIELDS)
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS results (seq INTEGER PRIMARY KEY, hash TEXT UNIQUE NOT NULL, "
                f"added TEXT NOT NULL, {columns})"
            )
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS calibrations (seq INTEGER PRIMARY KEY, added TEXT NOT NULL, "
                "judge TEXT NOT NULL, labels TEXT NOT NULL, about TEXT NOT NULL, sides TEXT NOT NULL, "
                "UNIQUE (judge, labels, about, sides))"
            )
            self._db.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._db.execute(f"PRAGMA application_id = {APPLICATION}")
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    def _update_literature(self) -> None:
        digest = sha256_bytes("".join(packaged_texts().values()).encode())
        if self._db.execute("SELECT value FROM facts WHERE name = 'literature'").fetchone() != (digest,):
            self.add(packaged())
            with self._db:
                self._db.execute("INSERT OR REPLACE INTO facts VALUES ('literature', ?)", (digest,))

    def add(self, *files: Sequence[Entry]) -> int:
        """Add the entries of all files or none; return how many were new. Nothing is edited: a later entry of one
        identity supersedes the earlier. Raises InputError when a run's name is taken by rows of other scorers, and when
        one result is given twice with different values."""
        entries = [entry for file in files for entry in file]
        _no_contradiction(entries)
        known = self.entries()
        for file in files:
            known += file
            _same_scorers(known, file)
        names = _COLUMNS
        places = ", ".join("?" * (len(FIELDS) + 2))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with self._db:
                before = self._db.total_changes
                self._db.executemany(
                    f"INSERT OR IGNORE INTO results (hash, added, {names}) VALUES ({places})",
                    [(entry.hash, now, *(getattr(entry, name) for name in FIELDS)) for entry in entries],
                )
                return self._db.total_changes - before
        except sqlite3.Error as error:
            raise InputError(
                f"{self.file}: cannot be written ({error}); free some space or choose another --file"
            ) from error

    def add_calibrations(self, found: Sequence[Calibration]) -> int:
        """Add measured errors of judges; return how many were new. A later one of a judge on the same labels supersedes
        the earlier, which stays in the file."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = [(now, each.judge, each.labels, each.about, as_text(each.sides)) for each in found]
        try:
            with self._db:
                before = self._db.total_changes
                self._db.executemany(
                    "INSERT OR IGNORE INTO calibrations (added, judge, labels, about, sides) VALUES (?, ?, ?, ?, ?)",
                    values,
                )
                return self._db.total_changes - before
        except sqlite3.Error as error:
            raise InputError(
                f"{self.file}: cannot be written ({error}); free some space or choose another --file"
            ) from error

    def calibrations(self) -> list[Calibration]:
        """What holds now: of each judge and set of labels the one that was added last."""
        rows = self._db.execute("SELECT judge, labels, about, sides FROM calibrations ORDER BY seq")
        return list(
            {(judge, labels): from_text(judge, labels, about, sides) for judge, labels, about, sides in rows}.values()
        )

    def entries(self) -> list[Entry]:
        """What holds now: of each identity the entry that was added last."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM results ORDER BY seq")
        current = {}
        for row in rows:
            entry = Entry.model_validate(dict(zip(FIELDS, row, strict=True)))
            current[entry.identity] = entry
        return list(current.values())


def _no_contradiction(entries: Iterable[Entry]) -> None:
    known: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        other = known.setdefault(entry.identity, entry)
        if other.value != entry.value:
            raise InputError(
                f"{entry.source}: {entry.name}, {entry.benchmark} {entry.split} {entry.metric} is given twice "
                f"({other.value} and {entry.value}); keep one, or name the tables differently"
            )


def _same_scorers(known: Iterable[Entry], new: Iterable[Entry]) -> None:
    """One name, one set of scorers per metric: otherwise two files under one name would be read as one evaluation."""
    mine = _scorers(entry for entry in new if entry.kind == "measured")
    others = _scorers(entry for entry in known if entry.kind == "measured")
    for place, scorers in mine.items():
        if others[place] != scorers:
            model, _, run, benchmark, metric = place[0], place[1], place[2], place[3], place[-1]
            raise InputError(
                f"{run}: {benchmark} {metric} of {model} is scored by {', '.join(sorted(scorers))} here and by "
                f"{', '.join(sorted(others[place] - scorers) or sorted(others[place]))} under the same name; use --name"
            )


def _scorers(entries: Iterable[Entry]) -> dict[tuple[str, ...], set[str]]:
    found: dict[tuple[str, ...], set[str]] = {}
    for entry in entries:
        group: Group = entry.group
        place = (entry.model, entry.method, entry.source, *group[:4], entry.metric)
        found.setdefault(place, set()).add(entry.scorer)
    return found
