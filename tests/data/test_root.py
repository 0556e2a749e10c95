"""The folder of public rows, and the words and icons that pages may use."""

from pathlib import Path

import pytest

from counterpoise.base import InputError
from counterpoise.cli import main
from counterpoise.data import concepts, data_home, data_root, lexicon


def test_data_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COUNTERPOISE_DATA", raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda name, appauthor: tmp_path / "user" / name)
    assert data_root() is None and data_home() == tmp_path / "user" / "counterpoise" / "data"
    data_home().mkdir(parents=True)  # as the first fetch does
    assert data_root() == data_home()
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path))
    assert data_root() == data_home() == tmp_path
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="COUNTERPOISE_DATA: .*absent is not a folder"):
        data_root()


def test_at_least_1500_words() -> None:
    assert len(set(lexicon())) == len(lexicon()) >= 1500
    assert len(set(concepts())) == len(concepts()) >= 200


def test_a_file_in_place_of_the_data_folder_is_said_by_all(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path / "file"))
    for command in (["data", "where"], ["data", "verify"], ["data", "list"], ["data", "fetch", "xstest"]):
        assert main(command) == 2, command
        assert "file is not a folder" in capsys.readouterr().err
