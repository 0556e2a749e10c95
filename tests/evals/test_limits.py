"""Answers that the token limit cuts: what scorers need, the limit of a benchmark, the warning, the count in a row."""

import dataclasses

import pytest

from counterpoise.chat import Sample
from counterpoise.evals import Benchmark, benchmark, benchmarks, item, rows, too_short
from counterpoise.evals.scorers import all_scorers, get, read_harmbench_labels, read_xstest_labels
from counterpoise.models import Answer
from counterpoise.runs import eval_plan

BLANK = Sample(id="x", messages=())


def card(**facts):
    return Benchmark("b", "b", "", "text", "s", "l", "1", 2, ("opening:v3",), ("asr",), lambda: iter(()), **facts)


def test_the_limit_is_512_where_a_judge_is_named_unless_set():
    assert card().max_new_tokens == 64 and card(judge="harmbench-cls").max_new_tokens == 512
    assert card(judge="harmbench-cls", max_new_tokens=100).max_new_tokens == 100
    assert dataclasses.replace(card(judge="harmbench-cls"), max_new_tokens=32).max_new_tokens == 32
    judged = [each for each in benchmarks().values() if each.judge]
    assert judged and all(each.max_new_tokens >= 128 for each in judged)


def test_scorers_state_what_they_need_and_short_limits_are_named():
    assert all(scorer.tokens > 0 for scorer in all_scorers("refusal").values())
    assert card(max_new_tokens=8).needs == {"opening:v3": get("opening").tokens} and card().needs == {}
    lists = dataclasses.replace(card(), scorers=("opening:v3", "wang-string:v1", "vlguard-list:v1"))
    line = too_short([lists, card(judge="x")])
    assert line is not None and line.startswith("b: answers end after 64 tokens, too early for wang-string:v1 (128), ")
    assert "opening" not in line and "vlguard-list:v1 (512)" in line and too_short([card(judge="x")]) is None


def test_a_dry_run_says_so_too():
    assert "too early for" in str(eval_plan("pocket", ["twins-validation"], limit=None, max_new_tokens=None))
    assert "too early for" not in str(eval_plan("pocket", ["twins-validation"], limit=None, max_new_tokens=512))


def test_a_row_counts_the_answers_that_were_cut():
    bench = dataclasses.replace(benchmark("twins-validation"), scorers=("opening:v3",), metrics=("asr",))
    ends = ("length", "stop", "length", "length")
    samples = [dataclasses.replace(s, harmful=True) for s in bench.samples()[:4]]
    replies = [Answer("Sure. First take the lid off and then", 1, 8, end, "", None) for end in ends]
    made = rows(bench, [item(bench, s, r) for s, r in zip(samples, replies, strict=True)], model="m", run="r")
    assert {row.metric for row in made} == {"asr", "broken"}
    for row in made:
        cut = [s for end, s in zip(ends, samples, strict=True) if end == "length" and s.modality == row.modality]
        assert row.n_cut == len(cut) > 0


@pytest.mark.parametrize("name", list(all_scorers("refusal")))
def test_at_the_stated_limit_one_verdict_in_a_hundred_changes(name, public, data_dir):
    """Four characters to a token: what an ordinary English text has at least."""
    public("xstest/model_completions")
    scorer = get(name)
    texts = [row.answer for row in read_xstest_labels(data_dir)][::6] + [
        r.answer for r in read_harmbench_labels(data_dir)
    ]
    changed = sum(scorer(BLANK, text).value != scorer(BLANK, text[: 4 * scorer.tokens]).value for text in texts)
    assert changed <= 0.01 * len(texts)
