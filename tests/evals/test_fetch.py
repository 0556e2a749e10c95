"""Rows on demand as a user meets them: `counterpoise data`, and `--fetch` of an evaluation."""

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
import core_rows
from hub_server import HubServer, Repo

from counterpoise.base import InputError, read_json
from counterpoise.cli import main
from counterpoise.data.sources import GB, GitHub, Hub, Release, differences, present, read_cards
from counterpoise.evals import all_sources, benchmark, benchmarks, sources_of, suite
from tiny import build

WORKER = Path(__file__).with_name("fetch_worker.py")
OURS = {"reading", "naming", "counting", "simple-questions", "chart-questions", "twins", "twins-validation"}
OURS |= {"word-tasks", "mis-pocket", "mis-pocket-swapped", "mis-pocket-white", "mis-pocket-validation"}


@pytest.fixture
def server():
    with HubServer() as made:
        core_rows.serve(made, Repo)
        yield made


def environment(server, tmp_path):
    hidden = ("COUNTERPOISE_DATA", "HF_TOKEN", "GITHUB_TOKEN")
    known = {name: value for name, value in os.environ.items() if name not in hidden}
    return known | {
        "HF_ENDPOINT": server.url, "COUNTERPOISE_GITHUB_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf"),
        "XDG_DATA_HOME": str(tmp_path / "xdg"), "COLUMNS": "200", "NO_COLOR": "1",
    }  # fmt: skip


def start(server, tmp_path, *arguments, **more):
    return subprocess.Popen(
        [sys.executable, str(WORKER), *arguments], env=environment(server, tmp_path), text=True, cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
    )  # fmt: skip


def run(server, tmp_path, *arguments, **more):
    process = start(server, tmp_path, *arguments, **more)
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def killed_after(server, n, process):
    """SIGKILL a process when the server has given out `n` more files."""
    left = threading.Semaphore(n)
    reached = threading.Event()

    def served(path):
        if not left.acquire(blocking=False):
            reached.set()

    server.on_served = served
    assert reached.wait(150), process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    server.on_served = None
    assert process.returncode == -signal.SIGKILL


@pytest.mark.timeout(600)  # half a minute on an idle machine, of which the suite itself is most
def test_core_is_fetched_killed_twice_and_ends_complete(server, tmp_path):
    model = build("smolvlm", tmp_path / "model")
    command = ("eval", str(model), "--suite", "core", "--fetch", "--accept-licence", "--limit", "2",
               "--max-new-tokens", "2", "--out", "out")  # fmt: skip
    root = tmp_path / "xdg" / "counterpoise" / "data"
    for n in (30, 300):
        killed_after(server, n, start(server, tmp_path, *command))
    before = dict(server.served)
    whole = {card.name for card in read_cards(root)}
    assert 0 < len(whole) < len(sources_of(suite("core").benchmarks))
    code, _, err = run(server, tmp_path, *command)
    assert code == 0, err
    assert "skipped" not in err and "not fetched" not in err
    measured = read_json(tmp_path / "out" / "run.json")
    assert set(measured["benchmarks"]) == set(suite("core").benchmarks) and measured["skipped"] == {}
    cards = {card.name: card for card in read_cards(root)}
    assert set(cards) == {each.name for each in sources_of(suite("core").benchmarks)}
    assert measured["data_commits"].items() >= {(name, card.revision) for name, card in cards.items()}
    assert not [path for path in (root / ".fetch").iterdir() if path.is_dir()]  # no work is left
    again = [path for path, times in server.served.items() if path in before and times > before[path]]
    assert len(again) <= 8, again  # at most what was in flight at the second kill
    assert [line for card in cards.values() for line in differences(root, card)] == []
    assert all(present(each, root) for each in sources_of(suite("core").benchmarks))


def test_a_fetch_asks_once_and_shows_the_terms(server, tmp_path):
    code, _, err = run(server, tmp_path, "data", "fetch", "strongreject", "jailbreakbench", stdin=subprocess.DEVNULL)
    assert code == 2 and "- strongreject (StrongREJECT and its small set): 2 files" in err
    assert "licence: MIT" in err and "https://github.com/alexandrasouly/strongreject at f7cad6c17e62" in err
    assert "error: nobody to ask for the licences: give --accept-licence when you accept them" in err
    assert not (tmp_path / "xdg" / "counterpoise" / "data" / "strongreject").exists()
    server.hub.clear()
    code, _, err = run(server, tmp_path, "data", "fetch", "strongreject", "jailbreakbench", "--accept-licence")
    assert code == 2 and "strongreject: 2 files" in err  # the one that is there is fetched all the same
    assert "error: jailbreakbench: " in err.splitlines()[-1]


@pytest.mark.parametrize(("answer", "code"), [("n", 2), ("y", 0)])
def test_the_question_is_asked_once_and_its_answer_holds(answer, code, server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COUNTERPOISE_GITHUB_ENDPOINT", server.url)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert main(["data", "fetch", "oktest", "advbench"]) == 2  # the server has no AdvBench
    err = capsys.readouterr().err
    assert err.count("Accept these licences and fetch?") == 1
    assert ("error: not accepted; nothing was fetched" in err) == (answer == "n")
    cards = read_cards(tmp_path / "data")
    assert [(card.name, card.accepted) for card in cards] == ([] if code else [("oktest", "asked")])
    assert server.served["data/OKTest.csv"] == (0 if code else 1)


def test_a_benchmark_brings_all_its_sources(monkeypatch, tmp_path):
    from counterpoise.cli._data import _sources

    found = _sources("mm-safetybench-sd", all_sources())  # the name of a source as well
    assert {each.name for each in found} == {"mm-safetybench", "mm-safetybench-sd"}


def test_data_where_list_and_verify(server, tmp_path):
    root = tmp_path / "xdg" / "counterpoise" / "data"
    assert run(server, tmp_path, "data", "where")[1].strip() == str(root)
    assert run(server, tmp_path, "data", "fetch", "oktest", "--accept-licence")[0] == 0
    out = run(server, tmp_path, "data", "list")[1]
    line = next(each for each in out.splitlines() if each.startswith("oktest "))
    assert " yes " in line and "do not redistribute" in line
    (root / "oktest" / "OKTest.csv").write_text("prompt\nchanged\n")
    code, out, err = run(server, tmp_path, "data", "verify")
    assert code == 2 and "oktest/OKTest.csv: changed since it was fetched" in out
    assert "error: 1 of 1 sources are not as fetched; counterpoise data fetch oktest" in err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["data", "fetch"], "error: data fetch: give NAME... or --suite NAME"),
        (["data", "fetch", "xstst"], "error: unknown source 'xstst'; did you mean 'xstest'?"),
        (["data", "fetch", "twins"], "error: twins: its rows are part of this package; there is nothing to fetch"),
        (["data", "verify", "xstest"], "error: xstest: no data card in"),
    ],
)
def test_mistakes_of_data_are_one_line(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path))
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(line)


def test_what_is_missing_names_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path))
    assert benchmark("xstest").available().endswith("; or: counterpoise data fetch xstest")
    reason = benchmark("mm-safetybench-sd").available()
    assert reason.endswith("; or: counterpoise data fetch mm-safetybench mm-safetybench-sd")
    with pytest.raises(InputError, match="counterpoise data fetch xstest"):
        benchmark("xstest").samples()


def test_half_placed_rows_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTERPOISE_DATA", str(tmp_path))
    core = tmp_path / "xstest" / "xstest_prompts.csv"
    core.parent.mkdir()
    core.write_bytes(core_rows.xstest()["xstest_prompts.csv"])
    assert benchmark("xstest").available() is None
    marker = tmp_path / ".fetch" / "xstest" / "placing"
    marker.parent.mkdir(parents=True)
    marker.touch()
    assert "counterpoise data fetch xstest ends it" in benchmark("xstest").available()


def test_nothing_is_asked_of_the_network_without_fetch(server, tmp_path):
    code, _, err = run(server, tmp_path, "eval", "pocket", "--benchmark", "xstest")
    assert code == 2 and "counterpoise data fetch xstest" in err
    assert not server.served and not server.authorised


def test_every_card_with_public_rows_declares_its_source():
    for name, card in benchmarks().items():
        assert bool(card.data) == (name not in OURS), name
        for source in card.data[:1]:
            assert card.source.startswith(source.origin.place), name
            assert card.licence == source.licence and card.gated == bool(source.gate), name


def test_sources_are_declared_once_and_hold_what_can_be_proven():
    found = all_sources()
    assert {each.name for each in sources_of(list(benchmarks()))} <= set(found)
    for name, each in found.items():
        assert name == each.name and isinstance(each.origin, Hub | GitHub | Release), name
        revision = each.origin.revision
        assert revision is None or isinstance(each.origin, Release) or len(revision) == 40, name
        assert each.licence and each.limit <= 60 * GB and (each.size or 0) <= each.limit, name
        for part in each.parts:
            assert len(getattr(part, "sha256", "") or "0" * 64) == 64, name
