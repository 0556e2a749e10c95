"""`counterpoise guard clue` on a tiny model with a tokenizer that knows yes and no."""

import json

import pytest
from typer.testing import CliRunner

import tiny
from counterpoise.base import InputError
from counterpoise.cli._guard_clue import app
from counterpoise.guard.clue import _ask


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny.build("smolvlm", tmp_path_factory.mktemp("m") / "m"))


@pytest.fixture(autouse=True)
def letters(monkeypatch):
    """The tiny tokenizer has no word for yes; letters are scored the same way."""
    monkeypatch.setattr(
        _ask.EngineAsker.__init__,
        "__kwdefaults__",
        {
            **_ask.EngineAsker.__init__.__kwdefaults__,
            "spellings": {"yes": ("Y",), "no": ("N",)},
            "reasoning_tokens": 4,
            "summary_tokens": 4,
        },
    )


def run(*args: str):
    result = CliRunner().invoke(app, list(args))
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


FAST = ("--encoder", "none", "--detector", "none", "--no-reasoning")


def test_icons_judge_and_eval(model, tmp_path):
    icons, out = tmp_path / "icons", tmp_path / "out"
    assert "16 images" in run("icons", str(icons), "--pairs", "1")
    said = run("judge", str(icons / "0000.png"), "--model", model, "--out", str(out), *FAST)
    assert "0000.png: " in said and (out / "index.html").is_file() and (out / "pictures" / "0000.png").is_file()
    record = json.loads((out / "verdicts.json").read_text())["record"]
    assert record["order"] == "batched" and "'Y'" in record["answer tokens"] and "0.7" in record["constants"]
    said = run("eval", str(icons), "--model", model, "--out", str(out), "--baselines", *FAST)
    for text in ("clue", "prior-cot", "constitution", "flame-paper: found in", "unknown"):
        assert text in said


def test_bad_input(model, tmp_path):
    with pytest.raises(InputError, match="no such image file"):
        run("judge", str(tmp_path / "none.png"), "--model", model, *FAST)
    with pytest.raises(InputError, match="unknown fill 'red'"):
        run("icons", str(tmp_path / "i"), "--pairs", "1")
        run("judge", str(tmp_path / "i" / "0000.png"), "--model", model, "--fill", "red", *FAST)
    (tmp_path / "i" / "labels.jsonl").write_text('{"image": "0000.png", "rules_violated": ["nowhere"]}')
    with pytest.raises(InputError, match="unknown rule in .*'nowhere'"):
        run("eval", str(tmp_path / "i"), "--model", model, *FAST)
    with pytest.raises(InputError, match="has no threshold"):
        run("eval", str(tmp_path / "i"), "--calibrate", "--encoder", "none")


def test_prepare_says_what_failed(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("rules: [{id: r1, text: Nothing ugly.}]")
    with pytest.raises(InputError, match="rule r1: "):  # the mock model's default reply has no rating
        run("prepare", str(file), "--model", "mockllm/model")
    assert "Nothing ugly." in file.read_text()
