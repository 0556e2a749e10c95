"""The command line as a user meets it: a subprocess, its exit code, and what it prints."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from counterpoise.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from folders import evaluation

COMMANDS = ("data", "run", "eval", "align", "compare", "report", "list", "doctor", "pocket")


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "import sys; from counterpoise.cli import main; sys.exit(main())", *arguments]
    known = {"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | known | environment, timeout=120)


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from counterpoise.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f" {command} " in done.stdout for command in COMMANDS)
    for heavy in ("torch", "transformers", "inspect_ai", "pydantic", "numpy", "PIL", "matplotlib"):
        assert f"'{heavy}'" not in done.stderr, heavy


@pytest.mark.parametrize("command", [*COMMANDS, "pocket build", "pocket card", "pocket path"])
def test_every_command_explains_itself_with_an_example(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert "Usage: counterpoise " + command in " ".join(text.split())
    assert command == "pocket" or "Example" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "--target", "asr=0.1"], "error: --target: 'asr=0.1' uses ="),
        (["run", "--limit", "0"], "error: run: limit: Input should be greater than or equal to 1"),
        (["run", "--amount", "0"], "error: rejection-mix: amount: 0 is not a whole number from 1"),
        (["run", "--dose", "fraction"], "error: --dose: cannot read 'fraction'; write for example --dose fraction=0.1"),
        (["run", "--dose", "fraction=0.1", "--fraction", "0.2"], "error: --dose: fraction is given twice"),
        (["run", "--grid", "fraction=0.1,x"], "error: --grid: cannot read 'fraction=0.1,x'"),
        (["run", "--grid", "fraction=0.1,0.1"], "error: --grid: fraction has a value twice"),
        (["run", "--target", "asr<=0.1", "--fraction", "0.1"], "error: fraction is given and --target searches it"),
        (["run", "--set", "fractoin=0.1"], "error: rejection-mix: fractoin: no such setting; did you mean fraction?"),
        (["align", "pocket", "--set", "epochs=x"], "error: rejection-mix: train.epochs: Input should be a valid"),
        (["align", "pocket", "--set", "fraction=0.1", "--fraction", "0.1"], "error: rejection-mix: fraction: set"),
        (
            ["align", "pocket", "--set", "skip_bad_rows=3", "--skip-bad-rows", "5", "--dry-run"],
            "error: skip_bad_rows is given twice",
        ),
        (["eval", "pocket", "-b", "twins", "--artifact", "/nope", "--dry-run"], "error: /nope: no such folder"),
        (["align", "pocket", "--seed", "1", "--set", "seed=2"], "error: seed is given twice: 1 as an option"),
        (["align", "pocket", "--config", "none.yaml"], "error: none.yaml: No such file or directory"),
        (["align", "pocket", "--benign-source", "x"], "error: --rejection-source is missing: give both sources"),
        (["eval", "pocket"], "error: eval: give either --suite NAME or --benchmark NAME"),
        (["compare", "nowhere", "nowhere"], "error: nowhere: no scorecard.json here"),
        (["report", "nowhere"], "error: nowhere: no scorecard.json here"),
        (["run", "--wrong"], "error: No such option: --wrong"),
        (["list", "cats"], "error: Invalid value for"),
        (["sing"], "error: No such command 'sing'"),
    ],
)
def test_mistakes_are_one_line_on_stderr_and_exit_code_2(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(line) and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_compare_and_report_print_a_verdict(tmp_path):
    evaluation(tmp_path / "run" / "before", {"print": 0.1})
    evaluation(tmp_path / "run" / "after", {"print": 0.95})
    compared = call("compare", str(tmp_path / "run" / "before"), str(tmp_path / "run" / "after"))
    assert compared.returncode == 0, compared.stderr
    assert "Safer" in compared.stdout and "better" in compared.stdout and "refusal[words:v1]" in compared.stdout
    made = call("report", str(tmp_path / "run"))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "run" / "report.html").is_file()
    single = call("report", str(tmp_path / "run" / "before"))
    assert single.returncode == 0 and "95 %" in single.stdout


def test_an_unfinished_run_is_said(tmp_path, capsys):
    evaluation(tmp_path / "before", {"print": 0.1})
    assert main(["report", str(tmp_path)]) == 2
    assert "not finished" in capsys.readouterr().err


def test_a_record_that_is_no_object_is_said(tmp_path, capsys):
    for name in ("before", "after"):
        evaluation(tmp_path / name, {"print": 0.1})
    (tmp_path / "run.json").write_text("[]")
    assert main(["report", str(tmp_path)]) == 2
    assert "run.json: is not a JSON object" in capsys.readouterr().err and not (tmp_path / "report.html").exists()


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("counterpoise 0.")


def test_a_closed_pipe_is_quiet(tmp_path):
    evaluation(tmp_path / "a", {"print": 0.1})
    code = "import sys; from counterpoise.cli import main; sys.exit(main())"
    command = f"'{sys.executable}' -c '{code}' list models --json | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[" and "Traceback" not in done.stderr


def test_ctrl_c_is_one_line_and_130(tmp_path):
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background starts with it ignored
        "from counterpoise.cli import main, _report\n"
        "def slow(folder: str) -> None:\n    print('ready', flush=True)\n    time.sleep(30)\n"
        "from counterpoise.cli._app import app\napp.command('slow')(slow)\nsys.exit(main(['slow', 'x']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the same command continues" in err and "Traceback" not in err


def test_a_full_disk_is_one_line_and_keeps_the_old_report(tmp_path):
    evaluation(tmp_path / "a", {"print": 0.1}, n=4)
    page = tmp_path / "a" / "report.html"
    page.write_text("the report of yesterday")
    code = (
        "import resource, sys; from counterpoise.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "report", str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "cannot write" in done.stderr and done.stderr.count("\n") == 1
    assert page.read_text() == "the report of yesterday"
    assert not list((tmp_path / "a").glob(".report*"))


def test_a_place_that_cannot_exist_is_one_line(tmp_path, capsys):
    evaluation(tmp_path / "a", {"print": 0.1}, n=4)
    (tmp_path / "file").write_text("not a folder")
    assert main(["report", str(tmp_path / "a"), "--out", str(tmp_path / "file" / "report.html")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
