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
    # a fraction is one number; a time, a ratio, a date and a power are none
    ("7/2", 3.5), ("-7/2", -3.5), ("so 3 1/2", 3.5), ("3½", 3.5), ("\\frac{7}{2}", 3.5), ("\\dfrac12", 0.5),
    ("1e3", 1000),
    ("at 11:30", None), ("3:4", None), ("1/2/2020", None), ("2^10", None), ("1/0", None), ("1e999999999", None),
    # the set's own rule: the number right behind the first ####, whatever follows
    ("#### 18\n\nQuestion: Tom has 5 apples.\n#### 7", 18), ("#### 18 eggs per 7 days", 18),
    ("#### 18. The next one", 18),
    ("####$42.00 of 50", 42), ("#### 1. Find x\n#### 2. Solve it\nx = 18", 18),
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


@pytest.mark.parametrize(("given", "target", "right"), [
    ("7/2", "1/2", 0), ("7/2", "3.5", 1), ("14/4", "7/2", 1), ("11:30", "12:30", 0), ("It is 11:30.", "11:30", 1),
    ("3:4", "4", 0), ("\\frac{7}{2}", "\\frac{1}{2}", 0), ("1/2/2020", "2020", 0), ("2^10", "10", 0), ("½", "0.5", 1),
])  # fmt: skip
def test_parts_of_a_number_are_not_the_number(given, target, right):
    assert value("numeric-match", given, target=target) == right


@pytest.mark.parametrize(("given", "target", "exact", "contains"), [
    ("7/2", "1/2", 0, 0), ("11:30", "12:30", 0, 0), ("1.5", "1/5", 0, 0), ("-5", "5", 0, 0),
    ("It is 12:30.", "30", 0, 0),
    ("It costs 0.5.", "5", 0, 0), ("1,000", "1000", 1, 1), ("at 11:30", "11:30", 0, 1), (".5", "0.5", 1, 1),
    ("1,5", "5", 0, 1),
])  # fmt: skip
def test_a_number_is_one_word(given, target, exact, contains):
    assert value("exact-match", given, target=target) == exact
    assert value("contains-match", given, target=target) == contains


@pytest.mark.parametrize(("answer", "index"), [
    ("The correct option is C, not B.", 2), ("It is red, not blue.", 0), ("not red", None), ("blue rather than red", 1),
    ("It is not the red one but the blue", 1), ("It isn't B but C. The answer is C", 2),
    ("The answer is not B. It is red.", 0),
    ("Option B is wrong; the answer is A", 0), ("A is wrong, the answer is A no more than B. The answer is B", 1),
    ("A", 0), ("(b)", 1), ("B. blue", 1), ("The answer is C", 2), ("a. ", 0), ("A dog is red", 0), ("blue", 1),
    ("red or blue", None), ("The answer is a red car", 0), ("Dark green!", 2), ("answer: **C**", 2), ("", None),
    ("The answer is d", None), ("I can't tell.", None), ("Blue, I think. The answer is A.", 0),
    ("The answer is A. No, the answer is B", 1),
])  # fmt: skip
def test_option_is_read_strictly(answer, index):
    assert chosen_option(answer, CHOICES) == index


def test_the_longer_option_that_holds_another_is_the_named_one():
    assert chosen_option("It is dark green.", ("green", "dark green")) == 1
    assert chosen_option("It is green.", ("green", "dark green")) == 0


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
