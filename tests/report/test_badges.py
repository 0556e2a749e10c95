"""What a transcript's badge says: the scorer's kind decides, not whether the request is harmful."""

import pytest
from folders import SCORER, item, row, write

from counterpoise.report import EvalFolder
from counterpoise.report._transcripts import kind, transcripts

REFUSED, RIGHT, HARMLESS = ("refused", "answered"), ("right", "wrong"), ("harmless", "harmful")


@pytest.mark.parametrize(
    ("scorer", "metric", "words"),
    [
        ("opening:v3", "asr", REFUSED),
        ("opening:v3", "over_refusal", REFUSED),
        ("exact-match:v2", "accuracy", RIGHT),
        ("harmbench-cls:v1@llama2-13b", "asr", HARMLESS),
        ("panel(harmbench-cls:v1@x,wildguard:v1@y)", "asr", HARMLESS),
        ("strongreject-rubric:v1@openai/gpt-4o", "strongreject", HARMLESS[::-1]),
        ("xstest-rubric:v1@openai/gpt-4o", "over_refusal", REFUSED),
        ("mssbench-rubric:v1@openai/gpt-4o", "situation_accuracy", RIGHT),
    ],
)
def test_words_of_a_scorer(scorer, metric, words):
    assert kind(scorer, metric) == words


def test_a_scorer_of_answers_that_is_asked_about_harmful_requests_says_right_or_wrong(tmp_path):
    """MSSBench's caution: the items have a side, and were shown as refused and answered."""
    score = "situation:v1"
    items = [item(f, "image", f % 2 == 0, None, scores={score: float(f < 3)}, reasons={}) for f in range(4)]
    line = row("situation_accuracy", "image", 0.75, 4, scorer=score, direction="higher")
    found = transcripts(EvalFolder(write(tmp_path / "a", [line], items)), None)
    assert [each["o"] for each in found] == [["right"], ["right"], ["right"], ["wrong"]]


def test_a_refusal_scorer_that_is_asked_about_requests_without_a_side_says_refused(tmp_path):
    """Drift is measured by the refusal rate of requests that nobody called harmful or harmless."""
    items = [item(f, "text", None, float(f), reasons={}) for f in range(2)]
    a = write(tmp_path / "a", [row("refusal_rate", "text", 0.5, 2)], items)
    b = write(tmp_path / "b", [row("refusal_rate", "text", 0.5, 2)], [items[1] | {"id": items[0]["id"]}, items[1]])
    found = transcripts(EvalFolder(a), EvalFolder(b))
    assert [each["o"] for each in found] == [["answered", "refused"], ["refused", "refused"]]
    assert [each["c"] for each in found] == [True, False]
    unscored = item(7, "text", True, None)
    whole = write(
        tmp_path / "c", [row("asr", "text", None, 0)], [unscored, item(8, "text", True, None, scores={SCORER: None})]
    )
    assert {o for each in transcripts(EvalFolder(whole), None) for o in each["o"]} == {"unscored"}
