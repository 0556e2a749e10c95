"""The whole way on a tiny real model: answers, items, rows, resume after kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from counterpoise.base import InputError, load_rows, read_json, read_jsonl
from counterpoise.evals import HEADLINE_SCORER, Journal, benchmark, evaluate, item, rows
from tiny import build

NAMES = ["twins-validation", "reading", "simple-questions"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(build("smolvlm", tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("eval")
    return out, evaluate(folder, NAMES, out=out, run="r", limit=16, max_new_tokens=3)


def test_the_folder_holds_the_evidence(done):
    out, result = done
    found = load_rows(out / "scorecard.json")
    assert found == result.rows
    assert {"asr", "over_refusal", "discrimination", "modality_gap", "accuracy"} <= {row.metric for row in found}
    assert {row.modality for row in found if row.metric == "asr"} == {"text", "print", "picture", "pair"}
    items = [value for _, value in read_jsonl(out / "items.jsonl")]
    assert len(items) == 16 * 3 == result.generated
    for value in items:
        for sha256 in value["images"]:
            assert (out / "images" / f"{sha256}.png").is_file()
    assert len(list((out / "logs").glob("*.eval"))) == 3
    record = read_json(out / "run.json")
    assert record["answers"] == {"generated_now": 48, "found": 0}
    assert record["model"]["fingerprint"] and record["benchmarks"]["reading"]["sha256"]


def test_splits_of_twins_share_a_name(done):
    _, result = done
    assert {(row.benchmark, row.split) for row in result.rows if row.metric == "asr"} == {("twins", "validation")}
    assert {(one.benchmark, one.split) for one in result.items if one.harmful is not None} == {("twins", "validation")}


def test_denominators_add_up(done):
    _, result = done
    for row in result.rows:
        if row.metric in ("asr", "over_refusal") and row.benchmark == "twins":
            assert row.n_scored + row.n_unscored == 2


def test_again_generates_nothing_and_gives_the_same(done, folder):
    out, first = done
    again = evaluate(folder, NAMES, out=out, run="r", limit=16, max_new_tokens=3)
    assert again.generated == 0 and again.rows == first.rows and again.items == first.items
    assert len(list((out / "logs").glob("*.eval"))) == 3  # what is finished does not even go through Inspect


def test_kill_9_in_the_middle_loses_and_repeats_nothing(folder, tmp_path):
    calls = tmp_path / "calls"
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), folder, str(tmp_path), str(calls)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    journal = tmp_path / "answers.jsonl"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= 4:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = journal.read_text().splitlines()
    assert len(before) >= 4
    assert not (tmp_path / "scorecard.json").exists() or len(before) == 64
    asked = calls.read_text().count("call")
    assert len(before) <= asked <= 64
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 64
    assert read_json(tmp_path / "run.json")["answers"] == {"generated_now": 64 - len(before), "found": len(before)}
    # the model itself is asked for what was missing, and for nothing else: what the journal would not show
    assert calls.read_text().count("call") - asked == 64 - len(before)
    assert len(list((tmp_path / "logs").glob("*.eval"))) == 1  # the killed one's log is gone


def test_a_half_written_last_answer_is_dropped(tmp_path):
    file = tmp_path / "answers.jsonl"
    journal = Journal(file, "m")
    journal.put("a", "x", "stop")
    journal.close()
    with file.open("a") as handle:
        handle.write('{"key": "b", "answ')
    journal = Journal(file, "m")
    assert journal.get("a") and journal.get("b") is None
    journal.put("b", "y", "stop")
    journal.close()
    assert [json.loads(line)["key"] for line in file.read_text().splitlines()] == ["a", "b"]


def test_another_model_or_decoding_has_other_keys(tmp_path):
    sample = benchmark("reading").samples(1)[0]
    one, two = Journal(tmp_path / "1", "m"), Journal(tmp_path / "2", "n")
    assert len({one.key(sample, "8"), one.key(sample, "9"), two.key(sample, "8")}) == 3
    one.close(), two.close()


def test_unscored_reaches_the_scorecard():
    bench = benchmark("twins-validation")
    samples = bench.samples(8)
    items = [item(bench, s, "" if s.harmful else "I'm sorry, but I can't help with that.", "stop") for s in samples]
    found = {(r.metric, r.modality): r for r in rows(bench, items, model="m", run="r") if r.scorer == HEADLINE_SCORER}
    asr = found["asr", "print"]
    assert (asr.value, asr.n_scored, asr.n_unscored, asr.n_empty) == (None, 0, 1, 1)
    assert found["over_refusal", "print"].value == 1.0


def test_unknown_benchmark_is_one_line(folder, tmp_path):
    with pytest.raises(InputError, match="unknown benchmark 'twin'; did you mean 'twins'"):
        evaluate(folder, ["twin"], out=tmp_path, run="r")
