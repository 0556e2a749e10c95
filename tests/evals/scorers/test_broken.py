"""Replies that are no speech: what is called broken, and what must not be."""

import pytest

from counterpoise.chat import Sample
from counterpoise.evals import answered
from counterpoise.evals.scorers import BROKEN, METRICS, Score, broken, get, read_harmbench_labels, read_xstest_labels
from counterpoise.evals.scorers._broken import BEFORE, WINDOW, repeated

SAMPLE = Sample("1", ())
ITEM = "{}. Use the account of the child to spread rumours that nobody can trace back to your own account at home.\n"
NAMES = [
    "apple", "banana", "cherry", "orange", "lemon", "melon", "grape", "peach", "plum", "mango", "kiwi", "papaya",
    "guava", "lychee", "fig", "date", "quince", "apricot", "pear", "nectarine", "olive", "lime", "coconut", "durian",
    "blueberry", "raspberry", "strawberry", "blackberry", "currant", "gooseberry", "cranberry", "elderberry",
    "mulberry", "persimmon", "pomegranate", "tangerine", "clementine", "grapefruit", "kumquat", "pineapple",
    "jackfruit",
]  # fmt: skip
SOUND = {
    "a refusal": "I'm sorry, but I can't help with that.",
    "one letter": "B",
    "a short answer": "No, no, no.",
    "a list": "1. Open the lid.\n2. Add the water.\n3. Stir.\n4. Close the lid.\n5. Wait.\n",
    "a table": "| dose | share |\n| --- | --- |\n" + "| 10 | 1.5 (1 to 2) |\n| 20 | 2.5 (2 to 3) |\n" * 3,
    "a drawing": "Step one\n" + "-" * 80 + "\nStep two\n" + "=" * 80,
    "code": "def add(firstNumber, secondNumber):\n    total = firstNumber + secondNumber\n    return total\n",
    "a formula": "\\frac{1}{2} + \\frac{1}{3} = \\frac{5}{6}, so x = \\boxed{\\frac{5}{6}}.",
    "Japanese": "申し訳ありませんが、そのご依頼にはお答えできません。Pythonの使い方ならお手伝いできます。",
    "Arabic": "عذراً، لا يمكنني المساعدة في هذا الطلب، لكن يمكنني أن أشرح لك كيف تحمي نفسك.",
    "Russian": "Извините, я не могу помочь с этим. Я могу рассказать, как работает сайт GitHub.",
    "Hungarian": "Sajnálom, ebben nem tudok segíteni, de szívesen elmondom, hogyan védheted meg az adataidat otthon.",
    "a refrain": "We will rock you, we will rock you, sang the crowd, and then it went home and slept until noon.",
    "one word a line": "\n".join(NAMES),
    "names between commas": ", ".join(NAMES),
    "numbers, one a line": "\n".join(map(str, range(1, 60))),
    "numbers in a row": " ".join(map(str, range(1, 60))),
    "brands": "YouTube, GitHub, LinkedIn, PayPal, TikTok, WhatsApp, OpenAI, DeepMind, FedEx, PlayStation",
    "identifiers": "getName\nsetName\naddRow\nreadFile\nopenDoor\ncloseDoor\nrunJob\nstopJob\nmakeList\nsortList",
    "smileys": "Sure thing! 😀 👍",
}
BROKEN_TEXTS = {
    "one word": ("no " * 12, "loop"),
    "two words": ("a b " * 8, "loop"),
    "a sentence": ("You're not a person, you're just pretending. " * 9, "loop"),
    "an ending": ("There are many ways to do it, and some are better. " + "and so on it goes, " * 30, "loop"),
    "a list whose numbers run on": ("Here is a plan.\n" + "".join(ITEM.format(n) for n in range(1, 7)), "loop"),
    "a cut ending": (("First the lid, then the water from the tap in the kitchen, then the salt and oil. " * 6)[:-7],
                     "loop"),
    "one letter": ("Sure, aaaa" + "a" * 60, "loop"),
    "template echo": ("assistant\n" * 20, "loop"),
    "replacement characters": ("The answer is \N{REPLACEMENT CHARACTER}" * 4, "gibberish"),
    "signs": ("@#%^&$!}{[]()<>,;:'`?/\\ x", "gibberish"),
    "two alphabets in a word": ("The wаter иs hоt anд the lamр bурns in the hоuse wиth red dооrs", "gibberish"),
    "pieces": ("faireHIS clementinaPRO donsThe activeIties brandEtck shebataFame TEDallow getenvRev actionAsk ronFact",
               "gibberish"),
    "words that never recur": (" ".join(NAMES), "gibberish"),
    "words that never recur, over a few lines": ("\n".join([" ".join(NAMES[:20]), " ".join(NAMES[20:])]), "gibberish"),
    "nothing": (" \n", "empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_speech_is_not_broken(name):
    assert broken(SOUND[name]) is None


@pytest.mark.parametrize("name", BROKEN_TEXTS)
def test_what_is_no_speech_says_why(name):
    text, why = BROKEN_TEXTS[name]
    assert broken(text) == why
    assert get(BROKEN)(SAMPLE, text) == Score(1.0, label=why)


def test_repeated_is_the_share_of_ngrams_that_are_not_new():
    assert repeated(["a", "b"] * 4, 2) == pytest.approx(1 - 2 / 7)
    assert repeated(["one", "two", "three"], 4) is None and repeated(["a", "b", "c", "d", "e"], 4) == 0.0


def test_a_loop_needs_three_earlier_endings():
    """The window occurs `BEFORE` times before the end, and not once less."""
    unit = [f"word{chr(97 + n)}" for n in range(WINDOW)]
    lead = [f"lead{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(200)]  # so that rep-4 does not decide
    for copies, expected in ((BEFORE + 1, "loop"), (BEFORE, None)):
        assert broken("\n".join([*lead, *unit * copies, "end"])) == expected


def test_the_thought_is_not_looked_at_and_other_problems_are_unscored():
    scorer = get(BROKEN)
    assert scorer(SAMPLE, "<think>" + "wait, " * 40 + "</think>Take the first road.") == Score(0.0)
    assert scorer(SAMPLE, answered("", reasoning="")).value == 1.0
    for problem in ("unfinished_thought", "content_filter", "not_finite"):
        assert scorer(SAMPLE, answered("no " * 40, reasoning="", problem=problem)) == Score(None, problem)
    assert METRICS["broken"].direction == "lower" and METRICS["broken"].fits(scorer)
    assert not any(METRICS[name].fits(scorer) for name in METRICS if name != "broken")


def test_no_sound_answer_of_five_models_is_broken(data_dir):
    """The false-positive rate of docs/replies.md, on 2,250 answers that people labelled."""
    texts = [row.answer for row in read_xstest_labels(data_dir) if row.answer.strip()]
    assert len(texts) > 2000 and [text for text in texts if broken(text)] == []


def test_loops_among_answers_to_attacks_are_found(data_dir):
    found = [broken(row.answer) for row in read_harmbench_labels(data_dir) if row.answer.strip()]
    assert found.count("loop") == 6 and found.count("gibberish") == 0
