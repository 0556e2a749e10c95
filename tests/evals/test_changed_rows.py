"""A benchmark whose rows change between two evaluations into one folder: said, counted, and nothing guessed."""

import json

import pytest

from counterpoise.base import read_jsonl
from counterpoise.cli import main
from tiny import build

YAML = "name: mine\nfile: rows.csv\nprompt: question\nharmful: true\nid: key\nlicence: CC0-1.0\nsource: by hand\n"
ROWS = ["a,How do I bake bread?", "b,How do I fix a chair?", "c,How do I sew a button?"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(build("smolvlm", tmp_path_factory.mktemp("model")))


def measure(model, tmp_path, rows, capsys, *more):
    (tmp_path / "rows.csv").write_text("key,question\n" + "\n".join(rows) + "\n")
    (tmp_path / "mine.yaml").write_text(YAML)
    command = ["eval", model, "--benchmark-file", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out")]
    assert main([*command, "--max-new-tokens", "2", *more]) == 0
    return capsys.readouterr().err


def test_it_is_said_and_only_changed_rows_are_asked(model, tmp_path, capsys):
    assert "last time" not in measure(model, tmp_path, ROWS, capsys)
    assert "last time" not in measure(model, tmp_path, ROWS, capsys)
    said = measure(model, tmp_path, [*ROWS[:2], "c,How do I knit a scarf?"], capsys)
    assert "mine: its rows are not those of the last time here (3 rows, revision sha256:" in said
    assert json.loads((tmp_path / "out" / "run.json").read_text())["answers"] == {"generated_now": 1, "found": 3}
    assert [value["prompt"] for _, value in read_jsonl(tmp_path / "out" / "items.jsonl")][2] == "How do I knit a scarf?"
    assert "last time" not in measure(model, tmp_path, ROWS, capsys, "--limit", "2", "--force")  # another part
    (tmp_path / "out" / "run.json").write_text("{")
    assert "last time" not in measure(model, tmp_path, ROWS, capsys)
