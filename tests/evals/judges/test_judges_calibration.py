"""Keyword judges against the published tables, calibration files, and rates corrected with them."""

import json

import numpy as np
import pytest

from counterpoise.base import InputError, Row
from counterpoise.chat import Sample, user
from counterpoise.cli import main
from counterpoise.evals import answered
from counterpoise.evals.judges import (
    Case,
    Facts,
    Judgement,
    Labelled,
    LabelSet,
    calibrate,
    corrected,
    judge_all,
    keyword_judges,
    load_calibration,
    read_labels,
    save_calibration,
)
from counterpoise.evals.stats import confusion, wilson

JUDGES = keyword_judges()
ORDER = ("gpt4", "llama2new", "llama2orig", "mistralinstruct", "mistralguard")


def percent(part):
    return round(100 * part["value"], 1)


@pytest.fixture(scope="module")
def xstest(public):
    public("xstest/model_completions")
    return calibrate(JUDGES["xstest-prefix"], read_labels(public("xstest")), judge_all)


def test_table_2_2_refusal_on_the_safe_side(xstest):
    groups = [xstest["groups"][name] for name in ORDER]
    harmless = [group["sides"]["harmless"] for group in groups]
    assert [side["n"] for side in harmless] == [250] * 5
    assert [percent(side["true_rate"]) for side in harmless] == [6.4, 14.0, 38.0, 0.8, 9.6]
    assert [percent(side["reported"]) for side in harmless] == [13.2, 26.8, 48.4, 1.6, 15.2]
    inflation = [side["reported"]["value"] / side["true_rate"]["value"] for side in harmless]
    assert [round(min(inflation), 1), round(max(inflation), 1)] == [1.3, 2.1]


def test_table_2_2_agreement_and_its_ceiling(xstest):
    groups = [xstest["groups"][name] for name in ORDER]
    assert [round(group["human"]["kappa"], 3) for group in groups] == [0.970, 0.926, 0.929, 0.920, 0.892]
    people = [group["human"]["agreement"] for group in groups]
    assert [round(min(people), 2), round(max(people), 2)] == [0.94, 0.98]
    agreement = [group["class_agreement"] for group in groups]
    assert [round(min(agreement), 2), round(max(agreement), 2)] == [0.76, 0.92]


def test_table_2_1_keywords_on_the_half_that_is_here(public):
    """The whole set gives 0.679, 0.614, 0.791, 0.587 and 58.5; here every number is recomputed from the file's own
    column of this judge, and the pinned ones are those of the 302 rows."""
    path = public("harmbench/text_judge_labels.json")
    labels = read_labels(path)
    found = calibrate(JUDGES["advbench-keywords"], labels, judge_all)
    rows = [row for part in json.loads(path.read_text()).values() for row in part]
    theirs = confusion([row.truth for row in labels.rows], [row["advbench"] for row in rows])
    side = found["sides"]["all"]
    numbers = [side[name]["value"] for name in ("accuracy", "precision", "sensitivity", "specificity", "reported")]
    assert numbers == [
        theirs.accuracy, theirs.precision, theirs.sensitivity, theirs.specificity, theirs.reported,
    ]  # fmt: skip
    if len(rows) == 302:
        assert [round(number, 3) for number in numbers] == [0.679, 0.621, 0.777, 0.595, 0.576]
        assert percent(side["true_rate"]) == 46.0
        assert round(found["human"]["unanimous"], 2) == 0.80 and round(found["human"]["one_person"], 2) == 0.93


def test_other_judges_of_the_harmbench_file_keep_their_order(public):
    """Columns of the file against the people: the classifiers are near 0.9, Llama Guard 1 misses two of three."""
    path = public("harmbench/text_judge_labels.json")
    rows = [row for part in json.loads(path.read_text()).values() for row in part]
    truth = [sum(row[f"human_{i}"] for i in range(3)) >= 2 for row in rows]
    found = {name: confusion(truth, [row[name] for row in rows]) for name in ("cls", "cls_mistral", "llama_guard")}
    assert min(found["cls"].accuracy, found["cls_mistral"].accuracy) > 0.87
    assert found["llama_guard"].sensitivity < 0.4 < 0.9 < found["llama_guard"].specificity


def write(path, lines):
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def refusals(n, truth):
    return [{"prompt": "How?", "answer": "I'm sorry, but I can't help.", "refused": int(truth)} for _ in range(n)]


def answers(n, truth):
    return [{"prompt": "How?", "answer": "Take the first road.", "refused": int(truth)} for _ in range(n)]


def test_own_labels_give_the_counts_they_hold(tmp_path):
    lines = refusals(30, True) + refusals(10, False) + answers(5, True) + answers(55, False)
    lines += [{"prompt": "How?", "answer": " ", "refused": 0}]
    found = calibrate(JUDGES["opening"], read_labels(write(tmp_path / "mine.jsonl", lines)), judge_all)
    side = found["sides"]["all"]
    assert side["confusion"] == {"tp": 30, "fp": 10, "tn": 55, "fn": 5}
    assert found["unscored"] == {"empty": 1} and side["n_unscored"] == 1
    assert side["reported"]["least"] == 40 / 101 and side["reported"]["most"] == 41 / 101
    assert side["bias"]["value"] == pytest.approx(0.05) and side["bias"]["low"] < 0.05 < side["bias"]["high"]
    assert side["sensitivity"]["low"] < 30 / 35 < side["sensitivity"]["high"]


def row(value, n, metric="over_refusal", scorer="opening:v3"):
    return Row(
        model="m", run="r", benchmark="b", revision="1", split="all", modality="text", metric=metric,
        direction="lower", scorer=scorer, value=value, ci_low=None, ci_high=None, n_scored=n, n_unscored=0, n_empty=0,
    )  # fmt: skip


def test_a_stored_calibration_corrects_both_metrics(tmp_path):
    lines = refusals(300, True) + refusals(100, False) + answers(100, True) + answers(900, False)
    found = calibrate(JUDGES["opening"], read_labels(write(tmp_path / "mine.jsonl", lines)), judge_all)
    save_calibration(tmp_path / "c.json", found)
    measured = load_calibration(tmp_path / "c.json")
    true = 0.3  # with Se 0.75 and Sp 0.9 the judge prints 0.295
    printed = 0.75 * true + 0.1 * (1 - true)
    over, asr = corrected([row(printed, 1000), row(1 - printed, 1000, "asr"), row(0.1, 5, "accuracy")], measured)
    assert over["corrected"]["value"] == pytest.approx(true) and asr["corrected"]["value"] == pytest.approx(1 - true)
    assert over["raw"]["value"] == printed and over["corrected"]["low"] < true < over["corrected"]["high"]
    assert over["warning"]


def test_a_judge_without_information_is_not_corrected(tmp_path):
    lines = refusals(50, True) + refusals(45, False) + answers(50, True) + answers(55, False)
    save_calibration(
        tmp_path / "c.json", calibrate(JUDGES["opening"], read_labels(write(tmp_path / "x.jsonl", lines)), judge_all)
    )
    (found,) = corrected([row(0.5, 100)], load_calibration(tmp_path / "c.json"))
    assert found["corrected"] is None and "too little information" in found["reason"]


def test_labels_of_harm_never_correct_a_rate_of_refusals(tmp_path):
    """On harmless prompts a judge of refusals calls harmful what is answered: no errors about refusals."""
    lines = [
        {"prompt": each["prompt"], "answer": each["answer"], "harmful": 1 - each["refused"], "side": "harmless"}
        for each in refusals(40, True) + answers(60, False)
    ]
    found = calibrate(JUDGES["opening"], read_labels(write(tmp_path / "mine.jsonl", lines)), judge_all)
    save_calibration(tmp_path / "c.json", found)
    over, asr = corrected([row(0.2, 100), row(0.8, 100, "asr")], load_calibration(tmp_path / "c.json"))
    assert over["corrected"] is None and "calibrate on labels of refusals" in over["reason"]
    assert asr["corrected"] is None and "both outcomes on harmful prompts" in asr["reason"]


def test_labels_that_cluster_are_worth_fewer(tmp_path):
    """Four answers to each prompt, alike: a quarter of the labels, and the corrected interval is as wide as theirs."""
    widths = {}
    for copies in (1, 4):
        refused, complied = "I'm sorry, but I can't help.", "Take the road."
        cases = [(refused, True)] * 40 + [(complied, True)] * 10 + [(complied, False)] * 45 + [(refused, False)] * 5
        rows = [
            Labelled(Case(Sample(f"{i}-{c}", (user("How?"),), cluster=f"p{i}"), answered(text)), truth)
            for i, (text, truth) in enumerate(cases)
            for c in range(copies)
        ]
        found = calibrate(JUDGES["opening"], LabelSet("mine", "0", "refusal", tuple(rows)), judge_all)
        save_calibration(tmp_path / "c.json", found)
        measured = load_calibration(tmp_path / "c.json")
        assert measured.worth["all"][0] == pytest.approx(50, rel=0.1) and found["sides"]["all"]["n"] == 100 * copies
        (made,) = corrected([row(0.3, 1000)], measured)
        widths[copies] = made["corrected"]["high"] - made["corrected"]["low"]
    assert widths[4] == pytest.approx(widths[1], rel=0.1)


def test_a_row_whose_items_cluster_is_worth_fewer(tmp_path):
    lines = refusals(90, True) + refusals(10, False) + answers(10, True) + answers(90, False)
    found = calibrate(JUDGES["opening"], read_labels(write(tmp_path / "mine.jsonl", lines)), judge_all)
    save_calibration(tmp_path / "c.json", found)
    wide, narrow = wilson(30, 100), wilson(120, 400)
    rows = [row(0.3, 400).model_copy(update={"ci_low": ends.low, "ci_high": ends.high}) for ends in (wide, narrow)]
    few, many = (each["corrected"] for each in corrected(rows, load_calibration(tmp_path / "c.json")))
    assert few["high"] - few["low"] > 1.2 * (many["high"] - many["low"])


class Coin:
    """Says yes with given error rates, by the number in the answer."""

    id = "coin:v1"
    facts = Facts("coin", 1, "harm", "answer", ("yes", "no"), "test", "")

    def __init__(self, sensitivity, specificity):
        self.random, self.rates = np.random.default_rng(1), (1 - specificity, sensitivity)

    def judge(self, cases, done):
        for place, case in enumerate(cases):
            done(place, Judgement(self.id, "x", float(self.random.random() < self.rates[int(case.answer)])))


def test_correction_recovers_the_truth_in_simulation(tmp_path):
    lines = [{"prompt": "p", "answer": str(i % 2), "harmful": i % 2} for i in range(4000)]
    judge = Coin(0.8, 0.7)
    save_calibration(tmp_path / "c.json", calibrate(judge, read_labels(write(tmp_path / "x.jsonl", lines)), judge_all))
    truth = np.random.default_rng(2).random(5000) < 0.2
    found = judge_all(judge, [Case(None, str(int(each))) for each in truth])
    raw = row(sum(each.score for each in found) / 5000, 5000, "asr", "coin:v1")
    (both,) = corrected([raw], load_calibration(tmp_path / "c.json"))
    assert both["raw"]["value"] > 0.35 and both["corrected"]["low"] < truth.mean() < both["corrected"]["high"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"prompt": "p", "answer": "a"}', 'row 1: give exactly one of harmful and refused'),
        ("a.jsonl", '{"prompt": "p", "answer": "a", "refused": 2}', 'field "refused": 2; write 0 or 1'),
        ("a.jsonl", '{"prompt": "p", "refused": 1}', 'field "answer": missing'),
        ("a.jsonl", "", "no rows"),
        ("a.jsonl", '{"prompt": "p", "answer": "a", "refused": 1, "side": "left"}', "write harmful, harmless"),
        ("a.csv", "id,prompt,answer,harmful\n1,p,a,1\n1,p,a,0\n", "'1' occurs twice"),
        ("a.csv", "prompt,answer,harmful,refused\np,a,1,\np,a,,0\n", "make two files"),
        ("a.txt", "x", "give a .csv"),
        ("xstest_v2_completions_x.csv", "id,type,prompt\n1,a,b\n", "completion.*no such column in the header"),
        ("h.json", '{"b": [{"generation": "g"}]}', "human_0"),
    ],
)  # fmt: skip
def test_broken_label_files_are_one_clear_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_labels(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_measured_is_refused(tmp_path):
    labels = read_labels(write(tmp_path / "x.jsonl", refusals(2, True)))
    with pytest.raises(InputError, match="measures harm, but x labels refusal"):
        calibrate(Coin(1, 1), labels, judge_all)
    empty = read_labels(write(tmp_path / "y.jsonl", [{"prompt": "p", "answer": "", "refused": 0}]))
    with pytest.raises(InputError, match="no verdict on any"):
        calibrate(JUDGES["opening"], empty, judge_all)
    (tmp_path / "z.json").write_text("{}")
    with pytest.raises(InputError, match="no calibration of a judge"):
        load_calibration(tmp_path / "z.json")
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "missing.csv")


def test_the_command_prints_the_table_of_models(public, tmp_path, capsys):
    labels = public("xstest/model_completions")
    out = str(tmp_path / "c.json")
    assert main(["judge", "calibrate", "xstest-prefix", "--labels", str(labels), "--out", out]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    printed = {(cells[0], cells[1]): cells[-3:-1] for cells in lines if len(cells) == 10}
    # group by group: what the prefixes report on the safe side, and what people found
    assert printed["gpt4", "harmless"] == ["0.132", "0.064"]
    assert printed["llama2orig", "harmless"] == ["0.484", "0.380"]
    assert printed["mistralinstruct", "harmless"] == ["0.016", "0.008"]
