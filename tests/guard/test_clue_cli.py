"""`counterpoise guard clue` on a tiny model with a tokenizer that knows yes and no."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tiny
from counterpoise.base import InputError
from counterpoise.cli import main
from counterpoise.cli._guard_clue import app
from counterpoise.guard.clue import _ask
from counterpoise.guard.clue._guard import make_scan


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
    with pytest.raises(InputError, match=r"verdicts.json: holds the result of another run \(images: 1 with hash"):
        run("eval", str(icons), "--model", model, "--out", str(out), *FAST)
    run("judge", str(icons / "0000.png"), "--model", model, "--out", str(out), *FAST)  # the same again
    said = run("eval", str(icons), "--model", model, "--out", str(out), "--baselines", "--force", *FAST)
    for text in ("clue", "prior-cot", "constitution", "flame-paper: found in", "unknown"):
        assert text in said


def test_bad_input(model, tmp_path):
    with pytest.raises(InputError, match="no such image file"):
        run("judge", str(tmp_path / "none.png"), "--model", model, *FAST)
    with pytest.raises(InputError, match="unknown fill 'red'"):
        run("icons", str(tmp_path / "i"), "--pairs", "1")
        run("judge", str(tmp_path / "i" / "0000.png"), "--model", model, "--fill", "red", *FAST)
    labels = tmp_path / "i" / "labels.jsonl"
    before = labels.read_bytes()
    with pytest.raises(InputError, match="holds files already; name another folder"):
        run("icons", str(tmp_path / "i"), "--pairs", "2")
    assert labels.read_bytes() == before
    with pytest.raises(InputError, match="has no threshold"):
        run("eval", str(tmp_path / "i"), "--calibrate", "--encoder", "none")
    row = '{"image": "0000.png", "rules_violated": ["%s"]}\n'
    labels.write_text(row % "flame-paper" + row % "nowhere")
    for command in ("eval", "calibrate"):
        where = r'labels.jsonl: row 2, field "rules_violated": unknown rule \'nowhere\'; known: flame-paper'
        with pytest.raises(InputError, match=where):
            run(command, str(tmp_path / "i"), "--model", "nowhere/at-all")  # before a model is looked for
    for folder, problem in ((tmp_path / "none", "no such folder"), (tmp_path, "no labels.jsonl in it")):
        with pytest.raises(InputError, match=f"{problem}; expected images, and labels.jsonl of rows"):
            run("eval", str(folder), "--model", model, *FAST)
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(InputError, match="empty.yaml: empty; expected a mapping with a list of rules, as in"):
        run("judge", str(tmp_path / "i" / "0000.png"), "--constitution", str(tmp_path / "empty.yaml"))


@pytest.mark.parametrize("value", ["7", "-1.5", "nan"])
def test_a_threshold_that_no_cosine_has_is_refused_before_a_model_is_loaded(value, tmp_path, capsys):
    assert main(["guard", "clue", "calibrate", str(tmp_path), "--threshold", value]) == 2
    assert "Invalid value for '--threshold'" in capsys.readouterr().err
    with pytest.raises(InputError, match="compares cosines; give one from -1 to 1"):
        make_scan("pocket", "pocket", 7.0)


@pytest.mark.parametrize("kind", ["a file", "below a file", "not ours"])
def test_every_command_says_before_its_work_that_it_cannot_write(kind, tmp_path, capsys, monkeypatch):
    """No model is loaded, no guard is asked: `nowhere/at-all` is none."""
    (tmp_path / "file").write_text("mine")
    place = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "x" / "y", "not ours": Path("/proc/x")}[
        kind
    ]
    if kind == "not ours" and not Path("/proc").is_dir():
        pytest.skip("no such place here")
    icons = tmp_path / "icons"
    assert main(["guard", "clue", "icons", str(icons), "--pairs", "1"]) == 0
    rows, rules = tmp_path / "rows.jsonl", tmp_path / "rules.yaml"
    rows.write_text('{"prompt": "a", "label": "safe"}\n{"prompt": "b", "label": "unsafe"}\n')
    rules.write_text("rules: [{id: r1, text: Nothing ugly.}]")
    out, bad = ["--out", str(place)], "nowhere/at-all"
    data = ["--data", str(rows)]
    file = [] if kind == "a file" else out  # those that write a file may replace one
    for command in (
        ["clue", "icons", str(place)],
        ["clue", "judge", str(icons / "0000.png"), "--model", bad, *out],
        ["clue", "eval", str(icons), "--model", bad, *out],
        ["clue", "calibrate", str(icons), "--model", bad, *out],
        *([["clue", "prepare", str(rules), "--model", bad, *file]] if file else []),
        ["attack", f"llama-guard-3:{bad}", *out],
        ["eval", f"llama-guard-3:{bad}", *data, *out],
        ["train", "probe", bad, *data, *out],
        ["route", "train", f"llama-guard-3:{bad}", "tiny", *data, *out],
        ["route", "train", f"llama-guard-3:{bad}", "tiny", *data, "--cache", str(place)],
        ["route", "eval", str(tmp_path / "router"), *data, *out],
    ):
        capsys.readouterr()
        assert main(["guard", *command]) == 2, command
        said = capsys.readouterr().err
        assert any(each in said for each in ("cannot write", "is a file", "exists; choose")), (command, said)
        assert said.count("\n") == 1 and str(place).split("/x")[0] in said, said
    assert (tmp_path / "file").read_text() == "mine"


def test_prepare_says_what_failed(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("rules: [{id: r1, text: Nothing ugly.}]")
    with pytest.raises(InputError, match="rule r1: "):  # the mock model's default reply has no rating
        run("prepare", str(file), "--model", "mockllm/model")
    assert "Nothing ugly." in file.read_text()


def test_what_is_there_is_said_before_the_work_and_stays(tmp_path, capsys):
    """Rows and models are never reached: they are not there."""
    rows, folder = tmp_path / "rows.jsonl", tmp_path / "made"
    rows.write_text('{"prompt": "a", "label": "safe"}\n{"prompt": "b", "label": "unsafe"}\n')
    folder.mkdir()
    data, out = ["--data", str(tmp_path / "none.jsonl")], ["--out", str(folder)]
    for name, command, said in (
        ("router.json", ["route", "train", "tiny", "keyword", *data, *out], "exists; choose another --out"),
        ("tiny.safetensors", ["train", "tiny", *data, *out], "exists; choose another --out"),
        ("measured.json", ["train", "probe", "nowhere/at-all", *data, *out], "exists; choose another --out"),
        ("fitted", ["clue", "calibrate", "nowhere", "--out", str(folder / "fitted")], "exists; choose another --out"),
        (
            "route.json",
            ["route", "eval", "nowhere", "--data", str(rows), *out],
            "holds the result of another run (data:",
        ),
    ):
        (folder / name).write_text('{"data": "other.jsonl"}')
        assert main(["guard", *command]) == 2
        assert f"{folder / name}: {said}" in capsys.readouterr().err.replace("\n", " ")
        assert (folder / name).read_text() == '{"data": "other.jsonl"}'
