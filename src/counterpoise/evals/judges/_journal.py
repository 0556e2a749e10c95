"""Verdicts on disk as they come, so that a stopped or killed judging never asks about a row twice."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from counterpoise.base import Progress

from .._journal import Journal
from ._panel import Panel
from ._protocol import RETRY, Case, Judge, Judgement, judge_ready
from ._tries import Tries


class VerdictJournal:
    """An append-only `verdicts.jsonl`, keyed by row id, hash of the answer and judge id. Verdicts that may differ next
    time (a dead call, a timeout) are not kept."""

    def __init__(self, file: Path):
        self._journal = Journal(file, "verdicts")
        self.found = self._journal.found
        """Verdicts of earlier runs."""

    @property
    def judged(self) -> int:
        """Verdicts added since the journal was opened."""
        return self._journal.generated

    @staticmethod
    def key(row: str, answer: str, judge: str) -> str:
        """Another answer under the same row id is another row to judge."""
        digest = hashlib.sha256(answer.encode("utf-8", "replace")).hexdigest()
        return hashlib.sha256(f"{row}\n{digest}\n{judge}".encode()).hexdigest()[:32]

    def __contains__(self, key: str) -> bool:
        """Without reading the file."""
        return key in self._journal

    def get(self, key: str) -> Judgement | None:
        """The verdict kept under a key, read from the file."""
        kept = self._journal.get(key)
        return None if kept is None else Judgement.from_json(kept)

    def put(self, key: str, row: str, found: Judgement) -> None:
        """Keep one verdict; it survives the end of this process when this returns."""
        if found.reason not in RETRY:
            state = "unscored" if found.score is None else "scored"
            fields = {name: _writable(value) for name, value in found.json().items()}
            self._journal.put(key, found.label or "", state, row=_writable(row), **fields)

    def close(self) -> None:
        self._journal.close()


def _writable(value: object) -> object:
    """Half of a surrogate pair, which a judge's reply may hold, cannot be written as UTF-8."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def verdicts(
    judge: Judge,
    cases: Sequence[Case],
    rows: Sequence[str],
    journal: VerdictJournal,
    progress: Progress | None = None,
) -> list[Judgement]:
    """Verdicts in the order of the cases; only cases that the journal does not know are judged.

    `rows` are their ids. Equal rows (the same id and answer) are judged once. Members of a panel keep their own
    verdicts, so that a killed panel, or another panel with the same member, does not ask it again.
    """
    if isinstance(judge, Tries):
        return [judge.named(each) for each in verdicts(judge.member, cases, rows, journal, progress)]
    if isinstance(judge, Panel):
        votes = [verdicts(member, cases, rows, journal) for member in judge.members]
        if progress is not None:
            progress.advance(len(cases))
        return [judge.combine(each) for each in zip(*votes, strict=True)]
    keys = [journal.key(row, case.answer, judge.id) for row, case in zip(rows, cases, strict=True)]
    todo: dict[str, int] = {}
    for place, key in enumerate(keys):
        if key not in journal:
            todo.setdefault(key, place)
    fresh: dict[str, Judgement] = {}
    if progress is not None:
        progress.advance(len(cases) - len(todo))
    places = list(todo.values())

    def done(number: int, found: Judgement) -> None:
        place = places[number]
        fresh[keys[place]] = found
        journal.put(keys[place], rows[place], found)
        if progress is not None:
            progress.advance()

    if places:
        judge_ready(judge, [cases[place] for place in places], done)
    known = [fresh.get(key) or journal.get(key) for key in keys]
    return [each for each in known if each is not None]
