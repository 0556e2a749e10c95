"""What an answer names at its end: letters, sets of letters and final results, as people write them."""

import pytest

from counterpoise.chat import Sample
from counterpoise.evals.scorers import chosen_option, get
from counterpoise.evals.scorers._letter_sets import letter_set
from counterpoise.evals.scorers._letters import letter
from counterpoise.evals.scorers._math import equal_math, final_answer


@pytest.mark.parametrize(("answer", "named"), [
    # A and I are letters where no article and no pronoun can stand
    ("The answer is A but B is close", "A"), ("A due to C", "A"), ("A because it fits", "A"), ("A - because", "A"),
    ("A rather than B", "A"), ("The correct answer would be A in my opinion", "A"), ("So A.", "A"),
    ("A dog is in C", "C"), ("The answer is a dog", None), ("I think so", None), ("I believe in a God", None),
    # a choice in the first person
    ("I would pick A over B", "A"), ("I choose D, because A and B are too small", "D"), ("Let's choose B.", "B"),
    ("I'd go with C. A is too small.", "C"), ("I'd go with A for now", "A"), ("I think A is right", "A"),
    ("Between A and B, I'd pick A.", "A"), ("I say D since A is out", "D"), ("I believe it's C", "C"),
    # comparisons and denials
    ("D is better than A and B", "D"), ("Unlike B, A is correct", "A"), ("(A) is the closest to B", "A"),
    ("B is close, but the best is A", "A"), ("It must be A, as C is too far", "A"),
    ("**A** is right, B comes second", "A"),
    ("A and B are wrong, so C", "C"), ("A is not right. B is.", "B"), ("A is the answer; B would need more", "A"),
    ("Answer: A – it fits; B and C do not", "A"),
    # two letters are no verdict
    ("A or B", None), ("The answer is A or B", None), ("B/C", None),
])  # fmt: skip
def test_a_letter_is_named_by_a_verdict_and_not_by_its_place(answer, named):
    assert letter(answer, 4) == named


@pytest.mark.parametrize(("answer", "index"), [
    ("The answer is A but B is close", 0), ("I would pick A over B", 0), ("I choose C, because A and B are bad", 2),
    ("The answer is B because it fits", 1), ("The answer is a red car", 0), ("The answer is A because blue is not", 0),
    ("A due to B", 0), ("The answer is A or B", None),
])  # fmt: skip
def test_an_option_is_named_by_a_verdict_as_well(answer, index):
    assert chosen_option(answer, ("red", "blue", "dark green")) == index


@pytest.mark.parametrize(("answer", "named"), [
    ("A, B, and C", "ABC"), ("**A, C**", "AC"), ("A & C", "AC"), ("The correct answers are A and C.", "AC"),
    ("AC", "AC"), ("(A), (C)", "AC"), ("A/C", "AC"),
    ("A\nC", "AC"), ("- A\n- C", "AC"), ("\\boxed{A, C}", "AC"), ("[A, C]", "AC"),
    ("Both A and C are correct.", "AC"), ("Answer: **B**", "B"), ("A; C", "AC"), ("$A, C$", "AC"), ("A + C", "AC"),
    ("Options: A, C", "AC"), ("\\text{A, C}", "AC"),
    ("A plan in C", None), ("A or C", None), ("A, B, or C", None), ("I cannot choose.", None), ("", None),
])  # fmt: skip
def test_a_set_of_letters_may_be_joined_in_any_usual_way(answer, named):
    found = letter_set(answer)
    assert (None if found is None else "".join(sorted(found))) == named


@pytest.mark.parametrize("answer", [
    "The answer is **42**.", "Answer: **42**", "The final answer is: $42$.", "\\(42\\)", "42, as shown", "42 dollars",
    "The answer is \\(42\\).", "The answer is 42, as shown above.", "The answer is 42 dollars.", "**42**", "42",
    "$42$.",
    "**Final Answer**: $42$", "### Final answer\n$42$", "Final Answer:\n\n42", "The answer to the question is 42.",
    "The answer is therefore 42.", "So 42 is the answer.", "The answer is 42!", "The answer is $x = 42$ dollars",
    "\\boxed{42 dollars}", "\\fbox{42}", "The answer is not 24 but 42.",
    "The answer is 42. I hope the answer is clear.",
    "Answer: 42 (forty-two)", "The answer equals 42", "The answer is €42", "The answer is 42 because 6 * 7 = 42.",
    "\\boxed{\\(42\\)}", "The answer is $42 \\text{ cm}$.", "The answer is\n$$42$$", "The answer is 42 - as shown",
])  # fmt: skip
def test_what_is_written_around_a_result_is_no_part_of_it(answer):
    assert get("math-final")(Sample(id="x", messages=(), target="42"), answer).value == 1.0


@pytest.mark.parametrize("answer", [
    "The answer is 24", "42?", "The answer is 42 x", "The answer is 142", "The answer is 42 or 43",
    "The answer is 42^2",
    "The answer is 42 and 3", "The answer is 42/2", "The answer is 42, 43", "The answer is 3 to 42",
    "The answer is not 42.", "The answer is between 40 and 42", "The answer is 42 plus 1", "42 over 7",
    "I have 42 reasons.\nNone of them is good.",
])  # fmt: skip
def test_another_result_stays_another_one(answer):
    assert get("math-final")(Sample(id="x", messages=(), target="42"), answer).value == 0.0


@pytest.mark.parametrize(("answer", "target"), [
    ("The answer is 1, 2", "1,2"), ("The answer is 1 and 2", "1,2"), ("The answer is $(1, 2)$.", "(1,2)"),
    ("The answer is $\\frac{7}{2}$ units", "\\frac72"), ("The answer is **Evelyn**.", "\\text{Evelyn}"),
    ("The answer is $2\\sqrt{3}$ cm", "2\\sqrt{3}"), ("The answer is 1,000 dollars", "1000"),
    ("The answer is $5!$", "120"), ("The answer is $[1,2)$", "[1,2)"), ("The answer is 3 1/2 hours", "3.5"),
    ("The answer is $\\begin{pmatrix}1\\\\2\\end{pmatrix}$", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
])  # fmt: skip
def test_results_keep_their_form(answer, target):
    assert get("math-final")(Sample(id="x", messages=(), target=target), answer).value == 1.0


def test_a_mixed_number_is_no_product_of_digits():
    assert equal_math("3 1/2", "7/2") and not equal_math("3 1/2", "31/2")


def test_the_final_answer_is_none_where_nothing_says_which_it_is():
    assert final_answer("First 6, then 7.\nSo there are some.") is None and final_answer("Is it 42?") is None
