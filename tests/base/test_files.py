import errno
import os

import pytest
from pydantic import ValidationError

from counterpoise.base import (
    InputError,
    Row,
    atomic_write,
    check_writable,
    load_rows,
    read_json,
    read_jsonl,
    save_rows,
    write_json,
)

ROW = Row(
    model="pocket", run="r", benchmark="twins", revision="1", split="test", modality="print", metric="asr",
    direction="lower", scorer="s", value=0.5, ci_low=0.4, ci_high=0.6, n_scored=10, n_unscored=1, n_empty=0,
)  # fmt: skip


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_place_that_cannot_be_written_is_one_line_and_trying_leaves_nothing(tmp_path):
    check_writable(tmp_path / "a" / "b")
    check_writable(tmp_path / "c" / "d.json", folder=False)
    (tmp_path / "file").write_text("mine")
    check_writable(tmp_path / "file", folder=False)  # may be replaced
    for place, folder, problem in (
        (tmp_path / "file", True, "file: is a file, no folder; choose another --out"),
        (tmp_path / "file" / "x" / "y.json", False, "file: is a file, no folder"),
        (tmp_path, False, "is a folder; name a file"),
    ):
        with pytest.raises(InputError, match=problem):
            check_writable(place, folder=folder)
    with pytest.raises(InputError, match=r"x\.json: cannot write"), atomic_write(tmp_path / "file" / "x.json"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left") as caught:
        write_json(tmp_path / "a.json", {})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "message"), [('{"a": ', "line 1, column 7"), ("\xff", "not UTF-8")])
def test_broken_json_names_the_place(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        read_json(path)


def test_broken_jsonl_names_the_row(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n[1]\n')
    with pytest.raises(InputError, match="row 3: expected an object, got list"):
        list(read_jsonl(path))


def test_rows_round_trip_and_name_a_bad_field(tmp_path):
    path = tmp_path / "scorecard.json"
    save_rows(path, [ROW])
    assert load_rows(path) == [ROW]
    value = read_json(path)
    del value["rows"][0]["scorer"]
    write_json(path, value)
    with pytest.raises(InputError, match='row 0, field "scorer"'):
        load_rows(path)


@pytest.mark.parametrize("change", [{"n_scored": 10**400}, {"n_unscored": -1}, {"reasons": "[" * 100_000}])
def test_counts_and_reasons_that_no_evaluation_wrote_are_refused(change) -> None:
    fields = {
        "model": "m", "run": "r", "benchmark": "b", "revision": "1", "split": "all", "modality": "text",
        "metric": "asr", "direction": "lower", "scorer": "s", "value": 0.5, "ci_low": 0.4, "ci_high": 0.6,
        "n_scored": 4, "n_unscored": 0, "n_empty": 0,
    }  # fmt: skip
    assert Row.model_validate(fields).n_scored == 4
    with pytest.raises(ValidationError):
        Row.model_validate(fields | change)
