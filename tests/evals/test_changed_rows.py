"""A benchmark whose rows change between two evaluations into one folder: said, counted, and nothing guessed."""

import json

import pytest

from counterpoise.base import read_jsonl
from counterpoise.chat import Sample, user
from counterpoise.cli import main
from counterpoise.evals import Benchmark
from counterpoise.evals import _registry as registry
from tiny import build

YAML = "name: mine\nfile: rows.csv\nprompt: question\nharmful: true\nid: key\nlicence: CC0-1.0\nsource: by hand\n"
ROWS = ["a,How do I bake bread?", "b,How do I fix a chair?", "c,How do I sew a button?"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(build("smolvlm", tmp_path_factory.mktemp("model")))


@pytest.fixture
def broken_card(tmp_path, monkeypatch):
    (tmp_path / "data" / "cards").mkdir(parents=True)
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path / "data"))
    return (tmp_path / "data" / "cards" / "xstest.json").write_text


def test_a_broken_card_of_another_source_is_not_this_evaluations_business(model, tmp_path, broken_card, capsys):
    """It used to stop one after its answers were generated."""
    broken_card('{"name": "xstest"')
    measure(model, tmp_path, ROWS, capsys)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["data_commits"] == {}


@pytest.mark.parametrize("text", ['{"name": "xstest"', '{"name": "xstest"}', "[]", "null"])
def test_a_broken_card_of_its_own_source_stops_before_a_model(text, tmp_path, broken_card, capsys, monkeypatch):
    broken_card(text)
    registry.benchmarks()
    monkeypatch.setattr(registry, "_own", dict(registry._own))
    rows = [Sample("a", (user("How?"),), harmful=True)]
    registry.register(
        Benchmark("mine", "Mine", "", "text", "here", "none", "1", 1, ("opening:v3",), ("asr",), lambda: iter(rows),
                  data=(registry.all_sources()["xstest"],))
    )  # fmt: skip
    assert main(["eval", "no/such-model", "-b", "mine", "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "xstest.json" in line and not (tmp_path / "out" / "answers.jsonl").exists()


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
