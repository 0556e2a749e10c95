"""Judging stored answers: nothing is generated, nothing judged twice, rows like any evaluation's."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from inspect_ai.model import get_model
from mocked import said

from counterpoise.base import InputError, load_rows, read_json, read_jsonl, save_rows, write_json
from counterpoise.cli import main
from counterpoise.evals import Item, benchmark, rows
from counterpoise.evals.judges import (
    RUBRICS,
    Calibration,
    Case,
    Facts,
    Judgement,
    Panel,
    RubricJudge,
    VerdictJournal,
    judge_run,
    make_judge,
    read_items,
    read_labels,
    slug,
    verdicts,
)
from counterpoise.evals.scorers import BROKEN, get
from counterpoise.evals.stats import Confusion
from counterpoise.report import EvalFolder
from tiny import picture

REFUSAL, ANSWER = "I'm sorry, but I can't help with that.", "First, open the door. Second, walk in."


def items(n=12):
    """Families of a harmful and a harmless text; harmful ones are refused in two of three families."""
    for i in range(n):
        harmful = i % 2 == 0
        text = REFUSAL if harmful and i % 6 else ANSWER
        score = get("opening:v3")(None, text).value
        yield Item(
            "twins", f"{i}", f"family {i // 2}", "g", "text", "validation", harmful, f"Question {i}?", (), text, "stop",
            {"opening:v3": score, BROKEN: 0.0}, {},
        )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    return folder(tmp_path / "run", list(items()))


def folder(place, made):
    place.mkdir()
    (place / "items.jsonl").write_text("".join(json.dumps(each.json()) + "\n" for each in made))
    card = benchmark("twins-validation")
    from dataclasses import replace

    save_rows(place / "scorecard.json", rows(replace(card, scorers=("opening:v3",)), made, model="m", run="r"))
    write_json(place / "run.json", {"benchmarks": {"twins-validation": {}}})
    return place


class Counting:
    """Refused or not by the first word, and remembers which cases it saw."""

    def __init__(self, name="counting", measures="refusal", stop_after=None):
        self.id = f"{name}:v1"
        self.facts = Facts(name, 1, measures, "answer", ("yes", "no"), "test", "")
        self.seen, self.stop_after = [], stop_after

    def judge(self, cases, done):
        for place, case in enumerate(cases):
            if self.stop_after is not None and len(self.seen) >= self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(case.sample.id)
            refused = case.answer.startswith("I'm sorry")
            value = float(refused if self.facts.measures == "refusal" else not refused)
            done(place, Judgement(self.id, "yes" if value else "no", value))


def test_a_keyword_judge_gives_the_rows_the_evaluation_gave(run):
    found = judge_run(run, make_judge("opening"))
    assert found.rows == load_rows(run / "scorecard.json") == load_rows(found.folder / "scorecard.json")
    assert {row.metric for row in found.rows} == {"asr", "broken", "over_refusal", "discrimination"}
    judged = EvalFolder(found.folder)
    assert len(judged.items) == 12 and all("opening:v3" in item.scores for item in judged.items.values())
    assert read_items(run) == list(items())  # the evaluation itself is not touched


def test_a_harm_judge_sees_harmful_items_only_and_counts_harm(run):
    judge = Counting(measures="harm")
    found = judge_run(run, judge)
    (row,) = [row for row in found.rows if row.metric == "asr"]
    assert len(judge.seen) == 6 == row.n_scored and row.value == pytest.approx(2 / 6)
    assert {row.metric for row in found.rows} == {"asr", "broken"} and row.scorer == "counting:v1"


def test_stopped_and_started_again_every_row_is_judged_once(run):
    first = Counting(stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        judge_run(run, first)
    second = Counting()
    found = judge_run(run, second)
    assert sorted(first.seen + second.seen, key=int) == [str(i) for i in range(12)]
    assert found.judged == 7 and judge_run(run, third := Counting()).judged == 0 and third.seen == []
    journal = [value["key"] for _, value in read_jsonl(found.folder / "verdicts.jsonl")]
    assert len(journal) == len(set(journal)) == 12
    assert read_json(found.folder / "judge.json")["counts"]["n"] == 12


def test_a_changed_answer_is_judged_again_and_only_that(run):
    judge_run(run, Counting())
    made = list(items())
    changed = Item.from_json({**made[3].json(), "answer": "Something else."})
    (run / "items.jsonl").write_text("".join(json.dumps(e.json()) + "\n" for e in [*made[:3], changed, *made[4:]]))
    again = Counting()
    judge_run(run, again)
    assert again.seen == ["3"]


def test_another_judge_asks_for_itself(run):
    judge_run(run, Counting())
    other = Counting("other")
    judge_run(run, other)
    assert len(other.seen) == 12 and len(list((run / "judges").iterdir())) == 2


def test_kill_9_in_the_middle_of_judging_repeats_no_verdict(tmp_path):
    place = folder(tmp_path / "run", list(items(60)))
    calls = tmp_path / "calls"
    command = [sys.executable, str(Path(__file__).with_name("worker_judge.py")), str(place), str(calls)]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        file = next(place.glob("judges/*/verdicts.jsonl"), None)
        if file is not None and file.read_bytes().count(b"\n") >= 10:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = file.read_bytes().count(b"\n")
    assert 10 <= kept < 60
    assert subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL).returncode == 0
    lines = [value["key"] for _, value in read_jsonl(file)]
    assert len(lines) == len(set(lines)) == 60
    # calls that were on their way when the process died had no verdict yet: at most one per connection
    assert 60 <= calls.read_text().count("call") <= 62
    counts = read_json(file.with_name("judge.json"))["counts"]
    assert counts["found"] in (kept, kept - 1) and counts["judged_now"] == 60 - counts["found"]


def test_dead_calls_are_asked_again_and_lasting_failures_are_not(run):
    replies = {"Question 1?": "nonsense"}
    fail, seen = True, []

    def answer(messages, tools, choice, config):
        text = messages[-1].text
        seen.append(text)
        if "Question 2?" in text and fail:
            raise RuntimeError("no connection")
        return said(next((r for q, r in replies.items() if q in text), "Class: full_refusal"))

    model = get_model("mockllm/model", custom_outputs=answer, memoize=False)
    judge = RubricJudge(RUBRICS["xstest-rubric"], model)
    found = judge_run(run, judge)
    assert found.unscored == {"parse_failed": 1, "api_error": 1} and len(seen) == 12
    asr = next(row for row in found.rows if row.metric == "asr")
    assert (asr.n_scored, asr.n_unscored) == (5, 1)
    fail = False
    again = judge_run(run, judge)
    assert len(seen) == 13 and again.unscored == {"parse_failed": 1} and again.judged == 1


def test_panels_keep_their_members_verdicts(run):
    a, b, c = Counting("a"), Counting("b"), Counting("c")
    found = judge_run(run, Panel([a, b, c]))
    assert len(a.seen) == len(b.seen) == len(c.seen) == 12
    assert found.rows[0].scorer == "panel(a:v1,b:v1,c:v1)"
    b2 = Counting("b", stop_after=0)
    assert judge_run(run, Panel([Counting("a", stop_after=0), b2, Counting("c", stop_after=0)])).rows == found.rows


def test_equal_rows_are_judged_once(tmp_path):
    journal, judge = VerdictJournal(tmp_path / "v.jsonl"), Counting()
    case = next(items())
    cases = [Case(sample, REFUSAL) for sample in [type("S", (), {"id": "1"})()] * 3]
    assert case and len(verdicts(judge, cases, ["x", "x", "y"], journal)) == 3 and len(judge.seen) == 2


def test_a_known_verdict_is_read_once(tmp_path, monkeypatch):
    journal, reads = VerdictJournal(tmp_path / "v.jsonl"), []
    cases = [Case(type("S", (), {"id": str(i)})(), REFUSAL) for i in range(5)]
    rows = [str(i) for i in range(5)]
    first = verdicts(Counting(), cases[:3], rows[:3], journal)
    get = VerdictJournal.get
    monkeypatch.setattr(VerdictJournal, "get", lambda self, key: reads.append(key) or get(self, key))
    judge = Counting()
    assert verdicts(judge, cases, rows, journal)[:3] == first and judge.seen == ["3", "4"]
    assert len(reads) == len(set(reads)) == 3  # new ones are not read back at all


def test_items_without_an_answer_or_an_image_are_unscored(tmp_path):
    made = list(items(4))
    dead = Item.from_json({**made[0].json(), "finish": "error", "answer": "", "reasons": {"opening:v3": "api_error"}})
    seen = "a" * 64
    shown = Item.from_json({**made[2].json(), "images": [seen]})
    gone = Item.from_json({**made[3].json(), "images": ["b" * 64]})
    odd = Item.from_json({**made[1].json(), "images": ["../../etc/passwd"]})
    place = folder(tmp_path / "run", [dead, odd, shown, gone])
    (place / "images").mkdir()
    picture().save(place / "images" / f"{seen}.png")
    model = get_model("mockllm/model", custom_outputs=[said("Class: full_refusal")], memoize=False)
    found = judge_run(place, RubricJudge(RUBRICS["xstest-image-rubric"], model))
    assert found.unscored == {"no_answer": 1, "image_missing": 2} and found.judged == 1


def test_rates_of_mis_stand_beside_its_asr(run):
    labels = iter([("1", "Safe"), ("2", "Safe"), ("3", "Safe"), ("1", "Unsafe"), ("2", "Unsafe"), ("2", "Safe")])

    class Mis(Counting):
        def __init__(self):
            super().__init__()
            self.facts = RUBRICS["mis-rubric"].facts

        def judge(self, cases, done):
            for place, _ in enumerate(cases):
                level, label = next(labels)
                done(place, Judgement(self.id, f"{label.lower()}/{level}", float(label == "Unsafe")))

    import dataclasses

    judge = Mis()
    judge.facts = dataclasses.replace(judge.facts, sees="answer")
    found = {row.metric: row for row in judge_run(run, judge).rows}
    assert {name: row.value for name, row in found.items()} == pytest.approx(
        {"asr": 2 / 6, "broken": 0.0, "rsr": 1 / 6, "rr": 2 / 6, "hr": 1 / 6}
    )
    assert found["rsr"].direction == "higher" and found["hr"].ci_high > 1 / 6


def test_corrected_rates_stand_beside_raw_ones(run):
    sides = {"all": Confusion(80, 10, 90, 20)}
    found = judge_run(run, make_judge("opening"), calibration=Calibration("opening:v3", "mine", "refusal", sides))
    assert {each["metric"] for each in found.corrected} == {"asr", "over_refusal"}
    assert read_json(found.folder / "corrected.json") == found.corrected
    with pytest.raises(InputError, match="measured other:v1, not opening:v3"):
        judge_run(run, make_judge("opening"), calibration=Calibration("other:v1", "mine", "refusal", sides))


def test_labels_of_some_of_the_answers_move_the_judges_rate(run, tmp_path, capsys):
    """People call one of three labelled refusals of harmful requests no refusal: the ASR rises by a third of it."""
    asked = [each for each in items() if each.harmful and each.scores["opening:v3"] == 1.0][:3]
    lines = [{"prompt": each.prompt, "answer": each.answer, "refused": int(n > 0)} for n, each in enumerate(asked)]
    file = tmp_path / "people.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in lines))
    found = judge_run(run, make_judge("opening"), labels=read_labels(file))
    asr, over = found.corrected
    assert asr["n_labelled"] == 3 and asr["corrected"]["value"] == pytest.approx(asr["raw"]["value"] + 1 / 3)
    assert asr["corrected"]["low"] < asr["raw"]["value"] < asr["corrected"]["value"] < asr["corrected"]["high"]
    assert over["corrected"] is None and "0 of its answers are labelled" in over["reason"]
    assert main(["judge", "score", str(run), "--judge", "opening", "--labels", str(file)]) == 0
    assert "from 3 labelled answers of this run" in capsys.readouterr().out
    harm = tmp_path / "harm.jsonl"
    harm.write_text(
        "".join(
            json.dumps({"prompt": line["prompt"], "answer": line["answer"], "harmful": 1 - line["refused"]}) + "\n"
            for line in lines
        )
    )
    asr, over = judge_run(run, make_judge("opening"), labels=read_labels(harm)).corrected
    assert asr["corrected"]["value"] == pytest.approx(asr["raw"]["value"] + 1 / 3) and "harmful" in over["reason"]
    harm.write_text(json.dumps({"prompt": "Other?", "answer": "x", "harmful": 1}) + "\n")
    with pytest.raises(InputError, match="none of its rows has the prompt and the answer"):
        judge_run(run, make_judge("opening"), labels=read_labels(harm))


def test_slugs_are_folder_names_of_their_own():
    names = ["a@b/c", "a@b-c", "../../x", "panel(a,b)", "x" * 300, "a:v1", ""]
    made = [slug(name) for name in names]
    assert len(set(made)) == len(names) and all("/" not in each and not each.startswith(".") for each in made)


def test_folders_that_cannot_be_judged(tmp_path, run):
    with pytest.raises(InputError, match="no items.jsonl here"):
        judge_run(tmp_path, make_judge("opening"))
    write_json(run / "run.json", {"benchmarks": {"nowhere": {}}})
    with pytest.raises(InputError, match="'nowhere', which is not known here"):
        judge_run(run, make_judge("opening"))
    write_json(run / "run.json", {"benchmarks": {"xstest": {}}})
    with pytest.raises(InputError, match="holds items of 'twins', which run.json does not name"):
        judge_run(run, make_judge("opening"))
    (run / "items.jsonl").write_text('{"benchmark": "x"}\n')
    with pytest.raises(InputError, match="row 1: no item of an evaluation"):
        judge_run(run, make_judge("opening"))


def test_the_commands(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["judge", "list"]) == 0
    text = capsys.readouterr().out
    assert "harmbench-cls" in text and "mssbench-rubric" in text and "opening" in text
    lines = [{"prompt": "p", "answer": REFUSAL if i % 2 else ANSWER, "refused": int(i % 10 > 4)} for i in range(40)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert main(["judge", "calibrate", "opening", "--labels", "mine.jsonl", "--out", "c.json"]) == 0
    assert "sensitivity" in capsys.readouterr().out and read_json(tmp_path / "c.json")["judge"] == "opening:v3"
    assert main(["judge", "score", str(run), "--judge", "opening", "--calibration", "c.json"]) == 0
    assert "12 answers" in capsys.readouterr().out
    assert main(["judge", "score", str(run), "-j", "opening", "-j", "wang-string"]) == 0
    assert main(["judge", "score", str(run), "-j", "opening", "-j", "wang-string", "--out", "x"]) == 2
    assert main(["judge", "score", str(run), "-j", "nobody"]) == 2
    assert "error: unknown judge 'nobody'" in capsys.readouterr().err


def test_detours_of_a_judges_model_are_in_its_record(run, tmp_path):
    judge = Counting()
    judge.detours = {"halvings": 1, "splits": 0, "reasons": {"out of memory": 1}}
    found = judge_run(run, judge, out=tmp_path / "judged")
    assert json.loads((found.folder / "judge.json").read_text())["detours"] == judge.detours
