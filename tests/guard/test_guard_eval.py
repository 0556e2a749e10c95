"""Measuring guards: rates with unknown apart, calibration, resuming, the page, the commands."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from counterpoise.base import InputError
from counterpoise.chat import Image, user
from counterpoise.cli import main
from counterpoise.guard import Exchange, Inspected, Sees, Verdict, make_guard
from counterpoise.guard._labelled import Labelled
from counterpoise.guard._options import checked_options
from counterpoise.guard.evaluate import (
    EvalSet,
    Policy,
    calibration,
    eval_sets,
    evaluate_guard,
    load_results,
    parts,
    save_results,
)
from counterpoise.report import write_guards

PICTURE = Image.from_pil(tiny.picture(1))


class Oracle:
    """A guard that reads its verdict from the text: `p=0.7`, `doubt` or `?`."""

    id = "oracle"
    sees = Sees(images=None)

    def __init__(self):
        self.asked = 0

    def check(self, exchanges):
        self.asked += len(exchanges)
        return [self._one(each) for each in exchanges]

    def _one(self, exchange):
        text = exchange.conversation[-1].text
        seen = Inspected(exchange.texts, exchange.texts, exchange.images, exchange.images)
        if "?" in text:
            return Verdict("unknown", self.id, seen, reason="12.5 % too little")
        p = float(re.search(r"p=([\d.]+)", text)[1])
        label = "controversial" if "doubt" in text else "unsafe" if p >= 0.5 else "safe"
        return Verdict(label, self.id, seen, p_unsafe=p)


def row(number, text, unsafe, modality="text", group=None):
    said = (PICTURE, text) if modality != "text" else (text,)
    return Labelled(str(number), Exchange((user(*said),)), unsafe, group or str(number), modality)


SET = EvalSet(
    "mine", "1",
    tuple(
        row(n, *each)
        for n, each in enumerate([
            ("p=0.9 a", True), ("p=0.8 b", True), ("p=0.2 c", True), ("? d", True), ("p=0.6 doubt e", True),
            ("p=0.1 f", False), ("p=0.7 g", False), ("? h", False), ("p=0.1 i", False, "print"),
            ("p=0.9 j", True, "print"),
        ])
    ),
)  # fmt: skip


def rates(result):
    return {(r.modality, r.metric): (r.value, r.n_scored, r.n_unscored) for r in result.rows}


def test_both_rates_by_modality_with_unknown_apart():
    result = evaluate_guard(Oracle(), [SET], latency=2)
    found = rates(result)
    assert found["text", "catch"] == (3 / 4, 4, 1) and found["text", "over_block"] == (1 / 2, 2, 1)
    assert found["text", "catch_closed"] == (4 / 5, 5, 0) and found["text", "over_block_closed"] == (2 / 3, 3, 0)
    assert found["print", "catch"] == (1, 1, 0) and found["all", "over_block"] == (1 / 3, 3, 1)
    first = next(r for r in result.rows if (r.modality, r.metric) == ("text", "catch"))
    assert (first.direction, first.scorer, first.model) == ("higher", "verdict[label, strict]", "oracle")
    assert first.ci_low == pytest.approx(0.3006, abs=1e-4) and first.ci_high == pytest.approx(0.9544, abs=1e-4)
    assert result.unknown == {"# % too little": 2}
    assert result.latency["text"].n == 2 and result.latency["text"].p50 <= result.latency["text"].p99


def test_both_rates_by_category_show_whom_a_guard_costs(tmp_path):
    from counterpoise.report import guard_tables

    told = [("p=0.9", True, "health"), ("p=0.8", False, "health"), ("p=0.7", False, "health"), ("? x", False, "money"),
            ("p=0.1", False, "money"), ("p=0.2", True, "money"), ("p=0.9", False, "")]  # fmt: skip
    named = EvalSet("named", "1", tuple(replace(row(n, t, u), category=c) for n, (t, u, c) in enumerate(told)))
    plain = EvalSet("plain", "1", (replace(row(1, "p=0.9", True), category="one"),))
    result = evaluate_guard(Oracle(), [named, plain, SET], latency=0)
    found = {(r.benchmark, r.split, r.metric): (r.value, r.n_scored, r.n_unscored) for r in result.by_category}
    assert {name for name, _, _ in found} == {"named"}  # one category, or none, is no table
    assert found["named", "health", "over_block"] == (1, 2, 0) and found["named", "health", "catch"] == (1, 1, 0)
    assert found["named", "money", "over_block"] == (0, 1, 1) and found["named", "money", "catch"] == (0, 1, 0)
    assert found["named", "money", "over_block_closed"] == (1 / 2, 2, 0)
    save_results(tmp_path / "guards.json", [result], [named], {}, {})
    assert load_results(tmp_path / "guards.json") == [result]
    page = write_guards(tmp_path / "r.html", [result], [named], {}, {}).read_text()
    part = page.split('id="categories"')[1].split("</section>")[0]
    assert part.index("health") < part.index("money")  # the most over-blocked first
    tables = guard_tables([result])
    assert [str(table.title) for table in tables] == ["oracle", "oracle: by category"]
    assert (
        'id="categories"'
        not in write_guards(
            tmp_path / "s.html", [evaluate_guard(Oracle(), [SET], latency=0)], [SET], {}, {}
        ).read_text()
    )


def test_auc_by_modality_is_of_the_probabilities_alone():
    result = evaluate_guard(Oracle(), [SET], latency=0)
    text = result.ranking["text"]  # unsafe .9 .8 .2 .6, safe .1 .7
    assert (text.unsafe, text.safe) == (4, 2) and text.value == pytest.approx(6 / 8)
    assert 0 <= text.low <= text.value <= text.high <= 1 and result.ranking["print"].value == 1


def test_loose_and_threshold_change_the_decision_only():
    strict, loose = (rates(evaluate_guard(Oracle(), [SET], policy=Policy(None, c), latency=0)) for c in (True, False))
    assert loose["text", "catch"] == (1 / 2, 4, 1) and strict["text", "over_block"] == loose["text", "over_block"]
    high = rates(evaluate_guard(Oracle(), [SET], policy=Policy(0.85), latency=0))
    assert high["text", "catch"] == (1 / 4, 4, 1) and high["text", "over_block"] == (0, 2, 1)


def test_verdicts_are_kept_and_nothing_is_asked_twice(tmp_path):
    journal = tmp_path / "v.jsonl"
    first = Oracle()
    one = evaluate_guard(first, [SET], journal=journal, latency=0, batch=3)
    with journal.open("a") as file:
        file.write('{"key": "cut of')  # killed while it wrote
    second = Oracle()
    two = evaluate_guard(second, [SET], journal=journal, latency=0)
    assert (first.asked, second.asked) == (10, 0) and one.rows == two.rows
    third = Oracle()
    evaluate_guard(third, [SET], journal=journal, latency=0, settings="other options")
    assert third.asked == 10


def test_equal_exchanges_are_asked_once():
    guard = Oracle()
    twice = EvalSet("twice", "1", (row(1, "p=0.9", True), row(2, "p=0.9", True)))
    found = evaluate_guard(guard, [twice], latency=0)
    assert guard.asked == 1 and found.rows[0].n_scored == 2


def test_a_guard_that_answers_too_little_is_broken():
    class Broken(Oracle):
        def check(self, exchanges):
            return super().check(exchanges)[:-1]

    with pytest.raises(InputError, match="9 verdicts for 10 exchanges"):
        evaluate_guard(Broken(), [SET], latency=0)


def test_calibration_of_known_numbers():
    p = [0.05, 0.05, 0.95, 0.95]
    found = calibration(p, [False, True, True, True])
    assert found.ece == pytest.approx(0.5 * 0.45 + 0.5 * 0.05) and found.n == 4
    assert found.brier == pytest.approx((0.05**2 + 0.95**2 + 2 * 0.05**2) / 4)
    assert [part.n for part in found.bins] == [2, 2] and found.bins[0].unsafe == 0.5
    assert calibration([], []) is None
    assert calibration([1.0], [True]).ece == 0
    with pytest.raises(InputError, match="between 0 and 1"):
        calibration([1.5], [True])
    with pytest.raises(InputError, match="2 probabilities for 1 labels"):
        calibration([0.5, 0.5], [True])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.randoms())
def test_calibration_is_bounded_and_ignores_order(rows, random):
    found = calibration(*zip(*rows, strict=True))
    assert 0 <= found.ece <= 1 and sum(part.n for part in found.bins) == len(rows)
    random.shuffle(rows)
    again = calibration(*zip(*rows, strict=True))
    assert again.ece == pytest.approx(found.ece) and again.brier == pytest.approx(found.brier)


def test_a_calibrated_guard_has_little_error():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    assert calibration(p.tolist(), (rng.random(20_000) < p).tolist()).ece < 0.02


def test_parts_shows_half_of_an_exchange():
    texts, images = (next(iter(parts([SET], which))) for which in ("texts", "images"))
    assert len(texts.rows) == 10 and all(not each.exchange.images for each in texts.rows)
    assert len(images.rows) == 2 and all(not each.exchange.texts for each in images.rows)
    assert "8 rows left out" in images.note and images.name == "mine, images only"


def test_unknown_sets_and_data_that_is_not_here(monkeypatch, tmp_path):
    monkeypatch.delenv("COUNTERPOISE_DATA", raising=False)
    found, skipped = eval_sets(["twins-validation", "xstest-responses", "xstest"], limit=24)
    assert [each.name for each in found] == ["twins"] and set(skipped) == {"xstest-responses", "xstest"}
    assert len({each.modality for each in found[0].rows}) == 4 and len(found[0].rows) == 24
    with pytest.raises(InputError, match="did you mean 'xstest'.*sets of answers: harmbench-responses"):
        eval_sets(["xstst"])
    with pytest.raises(InputError, match="no set is here: xstest: set COUNTERPOISE_DATA"):
        eval_sets(["xstest"])
    with pytest.raises(InputError, match="no row says whether it is harmful"):
        eval_sets(["reading"])


def test_own_files(tmp_path):
    file = tmp_path / "own.jsonl"
    rows = [{"prompt": "a", "label": "safe"}, {"prompt": "b", "answer": "c", "label": "unsafe", "id": "x"}]
    file.write_text("\n".join(json.dumps(each) for each in rows))
    found, _ = eval_sets([], [file])
    assert [each.unsafe for each in found[0].rows] == [False, True] and found[0].rows[1].mode == "response"
    with pytest.raises(InputError, match="two sets have the same name"):
        eval_sets([], [file, file])


def test_results_survive_the_file_and_the_page_escapes_everything(tmp_path):
    class Hostile(Oracle):
        id = "<script>alert(1)</script>"

    result = evaluate_guard(Hostile(), [SET], latency=1)
    save_results(tmp_path / "guards.json", [result], [SET], {"x": "<b>"}, {"limit": None})
    assert load_results(tmp_path / "guards.json") == [result]
    page = write_guards(tmp_path / "r.html", [result], [SET], {"x": "<b>"}, {"limit": None}).read_text()
    assert (
        "<script" not in page
        and "&lt;script&gt;" in page
        and "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    )
    assert page.count("<svg") >= 4 and "ECE" in page and "none of" not in page.split("<main>")[0]
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match="no result of counterpoise guard eval"):
        load_results(tmp_path / "bad.json")


def test_the_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COUNTERPOISE_DATA", raising=False)
    assert main(["guard", "list", "--json"]) == 0
    assert {"keyword", "llama-guard-4"} <= {each["name"] for each in json.loads(capsys.readouterr().out)}
    assert main(["guard", "check", "keyword", "hello"]) == 0
    assert "verdict: safe" in capsys.readouterr().out
    assert main(["guard", "check", "keyword", "build a bomb", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["categories"] == ["weapons"]
    out = tmp_path / "g"
    command = [
        "guard",
        "eval",
        "keyword",
        "-b",
        "twins-validation",
        "--limit",
        "16",
        "--latency",
        "3",
        "--out",
        str(out),
    ]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "twins" in shown and "unknown" in shown and (out / "report.html").is_file()
    kept = load_results(out / "guards.json")[0]
    text = [r for r in kept.rows if r.modality == "text" and r.metric == "over_block"]
    assert text[0].n_scored > 0 and any(r.value is None for r in kept.rows if r.modality == "print")
    assert main(["guard", "eval", "keyword", "-b", "twins-validation", "--only", "sounds", "--out", str(out)]) == 2
    assert main(["guard", "eval", "keyword", "-o", "nonsense", "-b", "twins-validation", "--out", str(out)]) == 2
    assert main(["guard", "check", "keyword", "hi", "-o", "x=1"]) == 2
    assert "guard keyword: takes no options (got x)" in capsys.readouterr().err
    assert main([*command[:-2], "--limit", "8", "--out", str(out)]) == 2  # neither fewer rows nor another guard
    assert (
        "guards.json: holds the result of another run (limit: 16; here: 8); choose another" in capsys.readouterr().err
    )
    assert main([*command[:2], "tiny", *command[3:]]) == 2
    assert "(guards: keyword; here: tiny)" in capsys.readouterr().err
    assert load_results(out / "guards.json")[0] == kept
    assert main(command) == 0  # the same again
    capsys.readouterr()
    assert main(["guard", "check", "keyword"]) == 1  # nothing to look at is unknown, and unknown blocks


def test_the_whole_of_xstest(data_dir, monkeypatch):
    monkeypatch.setenv("COUNTERPOISE_DATA", str(data_dir))
    sets, _ = eval_sets(["xstest", "xstest-responses", "harmbench-responses"])
    assert [len(each.rows) for each in sets][:1] == [450]
    result = evaluate_guard(make_guard("keyword"), sets, latency=0)
    found = {(r.benchmark, r.metric): r for r in result.rows}
    assert (found["xstest", "catch"].n_scored, found["xstest", "over_block"].n_scored) == (200, 250)
    assert found["xstest", "catch"].value > found["xstest", "over_block"].value
    assert {each.mode for each in sets[1].rows} == {"response"} and result.labels["unknown"] < 80
    # adversarial suffixes of HarmBench, which are full of foreign words, and answers in other scripts; nothing of
    # XSTest's prompts, checked above
    assert found["xstest-responses", "over_block"].n_unscored + found["xstest-responses", "catch"].n_unscored <= 6
    assert math.isclose(sum(each.unsafe for each in sets[2].rows) / len(sets[2].rows), 0.453, abs_tol=0.02)


def test_detours_of_a_guards_model_are_in_the_file(tmp_path):
    """A batch that was halved is seen in `guards.json`, and read back."""
    guard = Oracle()
    guard.detours = {"halvings": 1, "splits": 0, "reasons": {"out of memory": 1}}
    result = evaluate_guard(guard, [SET], latency=0)
    save_results(tmp_path / "guards.json", [result], [SET], {}, {})
    assert load_results(tmp_path / "guards.json")[0].detours == guard.detours


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("keyword", {"x": 1}, "guard keyword: takes no options"),
        ("probe:x", {"treshold": 0.5}, "unknown option of guard probe 'treshold'; did you mean 'threshold'"),
        ("probe:x", {"threshold": "abc"}, "guard probe: option threshold: 'abc': Input should be a valid number"),
        ("small", {"batch": "many"}, "guard small: option batch: 'many': Input should be a valid integer"),
        ("llama-guard-3:x", {"threshold": "abc"}, "guard llama-guard-3: option threshold: 'abc'"),
        ("llama-guard-3:x", {"explain": "maybe"}, "option explain: 'maybe': Input should be 'no', 'unsafe' or 'all'"),
        ("llama-guard-3:x", {"model": "y"}, "unknown option of guard llama-guard-3 'model'"),
        ("clue", {"treshold": 0.1}, "unknown option of guard clue 'treshold'; did you mean 'threshold'"),
        ("clue", {"threshold": "abc"}, "guard clue: option threshold: 'abc'"),
        ("nsfw-image:x", {"unsafe": "nsfw"}, "guard nsfw-image: option unsafe"),
    ],
)
def test_options_of_the_wrong_name_or_kind_are_one_line_before_anything_is_loaded(spec, options, said):
    with pytest.raises(InputError, match=re.escape(said)):
        make_guard(spec, **options)


def test_an_option_that_looks_like_a_number_is_the_text_that_is_wanted():
    def maker(*, revision: str = "main", batch: int = 1, threshold: float | None = None):
        return revision, batch, threshold

    assert checked_options("g", maker, {"revision": 123, "batch": "7"}) == {"revision": "123", "batch": 7}
    assert checked_options("g", maker, {"threshold": None}) == {"threshold": None}


def test_verdicts_of_another_revision_of_a_guard_are_not_taken(tmp_path):
    """A guard that was trained again keeps its name."""

    class Again(Oracle):
        revision = "2"

    first, other = Oracle(), Again()
    for guard in (first, other):
        evaluate_guard(guard, [SET], journal=tmp_path / "v.jsonl", latency=0)
    assert other.asked == first.asked > 0
