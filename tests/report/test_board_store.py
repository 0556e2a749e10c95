"""The board's file: adds, supersedes, refuses; and the commands around it."""

import sqlite3
import threading
from pathlib import Path

import pytest
from board_rows import inside
from folders import evaluation, row, write
from test_board_standing import entry

from counterpoise.base import InputError, write_json
from counterpoise.cli import main
from counterpoise.report.board import Board, packaged, run_entries


def test_a_new_board_holds_the_literature_once(tmp_path):
    file = tmp_path / "b.sqlite"
    for _ in range(2):
        with Board(file) as board:
            assert sorted(e.hash for e in board.entries()) == sorted(e.hash for e in packaged())


def test_adding_twice_changes_nothing_and_a_new_value_supersedes(tmp_path):
    with Board(tmp_path / "b.sqlite", literature=False) as board:
        assert board.add([entry("a"), entry("b")]) == 2
        assert board.add([entry("a"), entry("b")]) == 0
        assert board.add([entry("a", 0.4)]) == 1
        assert {e.model: e.value for e in board.entries()} == {"a": 0.4, "b": 0.5}
    stored = sqlite3.connect(tmp_path / "b.sqlite").execute("SELECT count(*) FROM results").fetchone()
    assert stored == (3,)  # the old value is still in the file


def test_contradicting_sources_stand_side_by_side(tmp_path):
    with Board(tmp_path / "b.sqlite", literature=False) as board:
        board.add([entry("a", 0.5, source="paper 1"), entry("a", 0.6, source="paper 2")])
        assert len(board.entries()) == 2
        with pytest.raises(InputError, match="given twice"):
            board.add([entry("c", 0.5), entry("c", 0.6)])
        assert len(board.entries()) == 2


def run(tmp_path: Path, name: str = "demo", scorer: str = "refusal[words:v1]") -> Path:
    folder = write(tmp_path / name, [row("asr", "print", 0.5, 20, scorer=scorer)], [])
    write_json(folder / "run.json", {"model": {"name": "tiny", "fingerprint": "abc"}, "benchmarks": {}})
    return folder


def test_two_files_with_different_scorers_under_one_name(tmp_path, capsys):
    file = str(tmp_path / "b.sqlite")
    first, second = run(tmp_path / "x"), run(tmp_path / "y", scorer="refusal[other:v1]")
    assert main(["board", "add", str(first), "--file", file]) == 0
    assert main(["board", "add", str(first), "--file", file]) == 0
    assert "0 new rows, 1 already there" in capsys.readouterr().out
    assert main(["board", "add", str(second), "--file", file]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "demo: twins asr of tiny is scored by refusal[other:v1] here and by refusal[words:v1]" in line
    assert main(["board", "add", str(second), "--file", file, "--name", "other"]) == 0
    assert main(["board", "add", str(first), str(second), "--file", str(tmp_path / "new.sqlite")]) == 2


def test_both_sides_of_a_run(tmp_path):
    folder = tmp_path / "demo"
    inside(evaluation(folder / "before", {"print": 0.1}, n=12))
    inside(evaluation(folder / "after", {"print": 0.9}, n=12))
    model = {"name": "tiny", "adapter": "somewhere/adapter"}
    write_json(folder / "after" / "run.json", {"model": model, "benchmarks": {}})
    write_json(folder / "run.json", {"started": "2026-01-02T03:04:05+00:00", "config": {"method": "rejection-mix"}})
    found = run_entries(folder)
    assert {(e.name, e.source, e.date) for e in found} == {
        ("tiny", "demo", "2026-01-02"), ("tiny + rejection-mix", "demo", "2026-01-02"),
    }  # fmt: skip
    assert "somewhere" not in "".join(e.model_dump_json() for e in found)


def test_an_unscored_row_stays_unknown(tmp_path):
    folder = write(tmp_path / "e", [row("asr", "print", None, 0, n_unscored=20)], [])
    with Board(tmp_path / "b.sqlite", literature=False) as board:
        board.add(run_entries(folder))
        (only,) = board.entries()
    assert only.value is None and (only.n, only.n_unscored) == (0, 20) and only.incomplete


def test_files_that_are_no_board(tmp_path, capsys):
    text, other = tmp_path / "text", tmp_path / "other.sqlite"
    text.write_text("not a database, but long enough to be taken for one" * 20)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (a)")
    db.close()
    before = other.read_bytes()
    for file in (text, other, tmp_path / "no" / "such" / "folder.sqlite"):
        assert main(["board", "export", str(tmp_path / "out"), "--file", str(file)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert other.read_bytes() == before and not (tmp_path / "out").exists()
    newer = tmp_path / "newer.sqlite"
    Board(newer, literature=False).__exit__(None, None, None)
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InputError, match="newer version"):
        Board(newer)


def test_two_writers_lose_nothing(tmp_path):
    file = tmp_path / "b.sqlite"
    Board(file, literature=False).__exit__(None, None, None)
    failures: list[Exception] = []

    def write_some(start: int) -> None:
        try:
            for number in range(start, start + 15):
                with Board(file, literature=False) as board:
                    board.add([entry(f"m{number}")])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write_some, args=(start,)) for start in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Board(file, literature=False) as board:
        assert (failures, len(board.entries())) == ([], 30)
