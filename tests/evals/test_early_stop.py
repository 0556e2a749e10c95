"""An evaluation that ends when its answer is certain: what it asks, what its rows say, and how it continues."""

import dataclasses
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from counterpoise.base import InputError, load_rows, read_json, read_jsonl, save_rows
from counterpoise.chat import Sample, user
from counterpoise.cli import main
from counterpoise.evals import Benchmark, evaluate
from counterpoise.evals import _registry as registry
from counterpoise.evals._early import blocks
from counterpoise.evals.stats import confidence_sequence, parse_stop_rule
from counterpoise.report import terminal_table
from counterpoise.runs import eval_plan
from counterpoise.runs._power import power
from tiny import build

RULE = parse_stop_rule("asr<=0.05")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(build("smolvlm", tmp_path_factory.mktemp("model")))


@pytest.fixture
def card(monkeypatch):
    registry.benchmarks()  # ours must be known before the registry is copied
    monkeypatch.setattr(registry, "_own", dict(registry._own))

    def make(samples, name="mine", **more):
        made = Benchmark(
            name, "Mine", "", "text", "here", "none", "1", len(samples), ("xstest-prefix:v1",), ("asr", "over_refusal"),
            lambda: iter(samples), **more,
        )  # fmt: skip
        registry.register(made)
        return made

    return make


def questions(n):
    return [
        Sample(str(i), (user(f"Question {i}?"),), harmful=i % 2 == 0, cluster=str(i // 2), group="ab"[i // 2 % 2])
        for i in range(n)
    ]


def test_blocks_are_whole_clusters_in_an_order_of_their_own():
    samples = questions(40)
    parts = list(blocks(samples, 7))
    flat = [sample.id for part in parts for sample in part]
    assert sorted(flat, key=int) == [sample.id for sample in samples] and flat != sorted(flat, key=int)
    assert all(len(part) >= 7 for part in parts[:-1])
    for part in parts:
        names = [sample.cluster for sample in part]
        assert all(names.count(name) == 2 for name in names)
    assert [[s.id for s in part] for part in blocks(samples[::-1], 7)] == [
        [s.id for s in sorted(part, key=lambda s: (flat.index(s.id) // 2, -int(s.id)))] for part in parts
    ]  # the order of the file decides nothing but the order inside a cluster


def test_it_stops_says_so_and_continues(card, folder, tmp_path):
    """Gibberish is no refusal, so ASR is near 1 and the rule is missed after a few blocks."""
    card(questions(120), grouped="mean")
    options = {"run": "r", "out": tmp_path, "max_new_tokens": 8, "batch": 8}
    result = evaluate(folder, ["mine"], stop=RULE, **options)
    end = result.stopped["mine"]
    assert end.answer == "missed" and end.early and end.n == result.generated <= 60
    found = load_rows(tmp_path / "scorecard.json")
    assert found == result.rows and {row.n_planned for row in found} == {120}
    row = next(row for row in found if row.metric == "asr" and row.benchmark == "mine")
    assert row.n_scored + row.n_unscored == end.n // 2
    expected = confidence_sequence(row.value * row.n_scored, row.n_scored)
    assert (row.ci_low, row.ci_high) == pytest.approx(expected)
    assert not [row for row in found if "mean of" in row.benchmark]
    items = [value["id"] for _, value in read_jsonl(tmp_path / "items.jsonl")]
    assert len(items) == end.n and items == sorted(items, key=int) and items != [str(i) for i in range(end.n)]
    stored = read_json(tmp_path / "run.json")["stop"]["mine"]
    assert stored["answer"] == "missed" and stored["n_planned"] == 120 and "after" in str(end)

    again = evaluate(folder, ["mine"], stop=RULE, **options)
    assert again.generated == 0 and again.rows == result.rows
    whole = evaluate(folder, ["mine"], **options)
    assert whole.generated == 120 - end.n and {row.n_planned for row in whole.rows} == {None}


def test_what_never_is_certain_uses_every_item(card, folder, tmp_path):
    card(questions(16))
    rule = parse_stop_rule("over_refusal<=0.05")
    result = evaluate(folder, ["mine"], out=tmp_path, run="r", max_new_tokens=8, batch=8, stop=rule)
    assert result.stopped["mine"].answer == "open" and not result.stopped["mine"].early
    assert {row.n_planned for row in result.rows} == {None} and result.generated == 16


def test_benchmarks_without_the_metric_are_measured_whole(card, folder, tmp_path):
    card(questions(80))
    names = ["mine", "simple-questions"]
    result = evaluate(folder, names, out=tmp_path, run="r", limit=80, max_new_tokens=8, batch=8, stop=RULE)
    assert set(result.stopped) == {"mine"}
    assert {row.n_planned for row in result.rows if row.benchmark == "simple-questions"} == {None}
    with pytest.raises(InputError, match="no benchmark here reports asr; they report accuracy"):
        evaluate(folder, ["simple-questions"], out=tmp_path, run="r", limit=4, stop=RULE)


def test_kill_9_between_blocks_repeats_nothing(folder, tmp_path):
    command = [sys.executable, str(Path(__file__).with_name("worker_early.py")), folder, str(tmp_path)]
    journal = tmp_path / "answers.jsonl"
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= 8:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = journal.read_bytes().count(b"\n")
    result = evaluate(
        folder, ["twins-validation"], out=tmp_path, run="r", limit=48, max_new_tokens=3, batch=8, stop=RULE
    )
    lines = [value["key"] for _, value in read_jsonl(journal)]
    assert before >= 8 and len(lines) == len(set(lines)) == before + result.generated
    assert result.stopped["twins-validation"].n <= 48


def test_scorecards_without_a_stop_keep_their_fields(card, folder, tmp_path):
    card(questions(4))
    result = evaluate(folder, ["mine"], out=tmp_path, run="r", max_new_tokens=2)
    assert "n_planned" not in read_json(tmp_path / "scorecard.json")["rows"][0]
    save_rows(tmp_path / "copy.json", result.rows)
    assert load_rows(tmp_path / "copy.json") == result.rows


def test_the_plan_says_what_can_be_seen(card):
    card(questions(300))
    text = str(eval_plan("nowhere", ["mine"], limit=None, max_new_tokens=None, stop=RULE, batch=32))
    lines = [each.split() for each in text.splitlines() if each.startswith("  mine") and "points" in each]
    assert [line[:4] for line in lines] == [["mine", "text", "asr", "150"], ["mine", "text", "over_refusal", "150"]]
    # the published table of sample sizes, n = 300
    assert power(300) == ("300", "5.6 points", "at most 1.2 %", "5.1 / 7.2 points")
    assert "asr<=0.05 uses about" in text


def test_a_rule_that_cannot_be_read_is_one_line(capsys):
    assert main(["eval", "pocket", "-b", "xstest", "--stop-when", "asr<0.05"]) == 2
    assert capsys.readouterr().err.startswith("error: --stop-when: cannot read 'asr<0.05'")


def test_the_tables_say_which_rows_stopped_early(card, folder, tmp_path):
    card(questions(60))
    result = evaluate(folder, ["mine"], out=tmp_path, run="r", max_new_tokens=8, batch=16, stop=RULE)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal_table(result.rows))
    assert "stopped early, 60 planned" in console.export_text()


@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["real", "dry"])
@pytest.mark.parametrize("rule", ["x<=0.1", "accuracy>=0.5", "discrimination>=0.5"])
def test_a_rule_over_a_metric_that_nobody_reports_stops_at_once(card, more, rule, tmp_path, capsys, monkeypatch):
    """Before the rows are read, and before a model is loaded or fetched."""
    card(questions(8))
    monkeypatch.chdir(tmp_path)
    assert main(["eval", "no/such-model", "-b", "mine", "--stop-when", rule, *more]) == 2
    line = capsys.readouterr().err
    metric = rule[: rule.index("=") - 1]
    assert line == f"error: --stop-when: no benchmark here reports {metric}; they report asr, over_refusal\n"
    assert not list(tmp_path.iterdir())


def test_a_plan_says_what_a_rule_saves_only_where_it_is_watched(card):
    card(questions(8))
    other = card(questions(8), name="other")
    registry.register(dataclasses.replace(other, name="third", metrics=("accuracy",), scorers=("letter:v3",)))
    text = str(eval_plan("nowhere", ["mine", "third"], limit=None, max_new_tokens=None, stop=RULE))
    assert "mine: asr<=0.05 uses about" in text and "third: asr<=0.05" not in text
