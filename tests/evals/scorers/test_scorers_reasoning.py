"""Letters, final answers in mathematics, soft VQA accuracy and verdicts: golden cases and properties."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoise.evals.scorers._letters import letter
from counterpoise.evals.scorers._math import equal_math, final_answer
from counterpoise.evals.scorers._math_numbers import number
from counterpoise.evals.scorers._situation import yes_no
from counterpoise.evals.scorers._vqa import abstains, normal_vqa, soft_accuracy


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("C", "C"), ("(c)", "C"), ("B. because", "B"), ("The answer is (D).", "D"), ("Answer: A", "A"),
        ("**Answer: B**", "B"), ("The answer is A cat", None), ("I think A cat sat.", None), ("so it must be C", "C"),
        ("A is wrong. The answer is B.", "B"), ("answer is C. No, the answer is D", "D"), ("\\boxed{B} not A", "B"),
        ("Answer: $\\boxed{\\text{C}}$", "C"), ("E", None), ("", None), ("I don't know", None), ("I'm sure: (A)", "A"),
        ("The correct option is D, not B.", "D"), ("It's D, not B.", "D"), ("B is wrong. The right one is C.", "C"),
        ("The answer is not B but D", "D"), ("(B) is incorrect, so (C)", "C"),
        ("D is correct. B and C are wrong.", "D"),
        ("The best choice is (D) rather than (B).", "D"), ("Not A, so C", "C"), ("I rule out B, so it must be C", "C"),
        ("The answer isn\u2019t B, it's D.", "D"), ("C, not D or B", "C"), ("A. B is not right", "A"),
        ("Correct: C", "C"),
        ("The correct answer would be **B**, not A", "B"), ("The answer is B. It is not C because", "B"),
        ("The answer is a dog", None), ("The answer is A because it is", "A"), ("a)", "A"), ("a dog", None),
    ],
)  # fmt: skip
def test_letters(answer, expected):
    assert letter(answer, 4) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so \\boxed{\\frac{1}{2}} holds", "\\frac{1}{2}"), ("\\boxed{1} then \\boxed{2}", "2"), ("\\boxed{1", None),
        ("\\boxed 7$", "7"), ("The answer is 12.", "12"), ("Final answer: $x=3$\n", "x=3"),
            ("none of it is clear", None),
    ],
)  # fmt: skip
def test_final_answers(text, expected):
    assert final_answer(text) == expected


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("\\dfrac{1}{2}", "0.5"), ("\\frac12", ".5"), ("1,000", "1000"), ("10,\\!000", "10000"), ("$\\$5$", "5"),
        ("x = 4", "4"), ("90^\\circ", "90"), ("3\\frac{1}{2}", "\\frac{7}{2}"), ("-2\\frac{1}{4}", "-2.25"),
        ("\\sqrt{8}", "2\\sqrt{2}"), ("(3, \\frac{\\pi}{2})", "\\left( 3, \\pi/2 \\right)"), ("1,-2", "-2, 1"),
        ("12 \\text{ cm}^2", "12"), ("\\text{Evelyn}", "Evelyn"), ("50\\%", "50"), ("2^{10}", "1024"), ("5!", "120"),
        ("\\sqrt[3]{27}", "3"), ("x^2+2x", "x^{2} + 2x"), ("{1,2}", "\\{2, 1\\}"),
    ],
)  # fmt: skip
def test_equal_final_answers(a, b):
    assert equal_math(a, b) and equal_math(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1", "2"), ("(1,2)", "(2,1)"), ("(0,1]", "[0,1]"), ("1,2", "1,2,3"), ("", ""), ("nan", "0"), ("1/inf", "0"),
        ("x", "y"), ("x+1", "x+2"), ("9^9^9^9^9", "1"), ("1/0", "0"), ("0.333", "\\frac13"), ("1,1", "1,2"),
        ("(" * 5000, "1"), ("__import__", "1"),
    ],
)  # fmt: skip
def test_different_final_answers(a, b):
    assert not equal_math(a, b) and not equal_math(b, a)


@settings(deadline=None)
@given(st.integers(-999, 999), st.integers(1, 999))
def test_fractions_are_numbers(top, bottom):
    assert number(f"\\frac{{{top}}}{{{bottom}}}") == pytest.approx(float(Fraction(top, bottom)), rel=1e-12)
    assert equal_math(f"\\dfrac{{{top}}}{{{bottom}}}", f"{top}/{bottom}")


@settings(deadline=None)
@given(st.text(alphabet="0123456789+-*/^!()[]{}\\fracsqrtpi. ,x", max_size=60))
def test_any_text_is_read_without_an_exception(text):
    assert number(text) is None or isinstance(number(text), float)
    equal_math(text, "1")


@pytest.mark.parametrize(("hits", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_soft_accuracy_golden(hits, expected):
    """The well-known values of the official evaluation for 0 to 10 equal answers of ten."""
    truth = ["soup"] * hits + [f"other {n}" for n in range(10 - hits)]
    assert soft_accuracy("Soup.", truth) == pytest.approx(expected)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a b", "c", "d"]), min_size=10, max_size=10), st.sampled_from(["a b", "c", "e"]))
def test_soft_accuracy_lies_between_zero_and_the_shortcut(truth, answer):
    shortcut = min(1.0, truth.count(answer) / 3)
    assert 0.0 <= soft_accuracy(answer, truth) <= shortcut + 1e-12
    assert soft_accuracy(answer, truth[::-1]) == pytest.approx(soft_accuracy(answer, truth))


def test_vqa_normal_form():
    assert (
        normal_vqa("The Two, cats!") == "2 cats" and normal_vqa("1,000.5") == "1000.5" and normal_vqa("it’s") == "it's"
    )
    assert abstains("Unanswerable.") and not abstains("It is unanswerable") and not abstains("")


def test_verdicts():
    assert yes_no("Reasoning: No one is near.\nAnswer: Yes") == "yes" and yes_no("No, because") == "no"
    assert yes_no("Answer: **No**") == "no" and yes_no("Nothing. Yes") is None
