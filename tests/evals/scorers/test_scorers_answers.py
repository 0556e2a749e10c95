"""Scorers of right and wrong answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.chat import Sample
from counterpoise.evals.scorers import all_scorers, chosen_option, get, last_number

CHOICES = ("red", "blue", "dark green")


def value(name, answer, **sample):
    return get(name)(Sample(id="x", messages=(), **sample), answer).value


@pytest.mark.parametrize(("text", "number"), [
    ("7", 7), ("$1,234.50", 1234.5), ("so\n#### 18", 18), ("3-4=-1", -1), ("It costs $5.", 5), ("x = -12", -12),
    ("20-3", 3), ("1,000, not 2", 2), ("no number", None), ("between 3-4", 4), ("#### -3", -3), ("-$3", -3),
    ("$-3", -3), ("a share of .25", 0.25), ("#### none, but 6", 6), ("5 apples ####", 5),
    ("−4", -4), ("12 %.", 12), ("", None),
])  # fmt: skip
def test_last_number(text, number):
    assert last_number(text) == number


@given(st.integers(-(10**9), 10**9))
def test_numbers_come_back(n):
    assert last_number(f"The result is {n:,}.") == n == last_number(f"1 + 2 #### {n}")


def test_numeric_match():
    assert value("numeric-match", "She earns $18.00 a day.", target="9 * 2 = 18\n#### 18") == 1
    assert value("numeric-match", "18 or 19", target="#### 18") == 0
    assert value("numeric-match", "I can't help with that.", target="18") == 0  # a refusal is a wrong answer
    assert get("numeric-match")(Sample(id="x", messages=()), "18").reason == "no_target"


@pytest.mark.parametrize(("answer", "index"), [
    ("A", 0), ("(b)", 1), ("B. blue", 1), ("The answer is C", 2), ("a. ", 0), ("A dog is red", 0), ("blue", 1),
    ("red or blue", None), ("The answer is a red car", 0), ("Dark green!", 2), ("answer: **C**", 2), ("", None),
    ("The answer is d", None), ("I can't tell.", None), ("Blue, I think. The answer is A.", 0),
    ("The answer is A. No, the answer is B", 1),
])  # fmt: skip
def test_option_is_read_strictly(answer, index):
    assert chosen_option(answer, CHOICES) == index


def test_option():
    assert value("option", "(C)", target="dark green", choices=CHOICES) == 1
    assert value("option", "blue", target="B", choices=CHOICES) == 1
    missing = get("option")(Sample(id="x", messages=(), target="red", choices=CHOICES), "I must decline.")
    assert missing.value == 0 and missing.label == "no_option"
    assert value("option", "A", target="purple", choices=CHOICES) is None


def test_exact_and_contains():
    assert value("exact-match", ' "Red Lamp." ', target="red lamp") == 1
    assert value("exact-match", "a red lamp", target="red lamp") == 0
    assert value("contains-match", "It is a red lamp.", target="red lamp") == 1
    assert value("contains-match", "It is a redlamp.", target="red lamp") == 0
    assert value("exact-match", "bike", target="bicycle", meta={"accept": ["bike"]}) == 1
    assert value("exact-match", "", target="x") is None


def test_word_accuracy():
    assert value("word-accuracy", "the quick brown dog", target="quick brown fox dog") == 0.75
    assert value("word-accuracy", "dog fox", target="fox dog") == 0.5
    assert value("word-accuracy", "no", target="fox") == 0


@given(st.lists(st.sampled_from(["red", "blue", "pan", "fox"]), min_size=1, max_size=8), st.text(max_size=40))
def test_word_accuracy_is_a_share(target, answer):
    assert value("word-accuracy", " ".join(target), target=" ".join(target)) == 1
    got = value("word-accuracy", answer, target=" ".join(target))
    assert got is None if not answer.strip() else 0 <= got <= 1


@given(st.text(max_size=60))
def test_no_answer_breaks_a_scorer(text):
    for name in all_scorers("answer"):
        for target in ("red", "7"):
            got = value(name, text, target=target, choices=CHOICES)
            assert got is None or 0 <= got <= 1
