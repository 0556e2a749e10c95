"""Scorers of right and wrong answers. An answer without the asked-for form is wrong, not unscored.

Otherwise a model that refuses every question would keep its accuracy on the few it answers. Only what is no reply at
all (empty, cut off in its thought, filtered) is unscored, as everywhere; rows count it by reason.
"""

import re

from counterpoise.chat import Sample

from ._scorer import Score, Scorer, register
from ._text import normalise, words

# a sign counts unless it joins two words or numbers: 3-4 holds 3 and 4
_NUMBER = re.compile(r"(?:(?<![\w)])[-+])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+")
_LETTER = re.compile(r"^[\s*(\[\"']*([a-z])(?:[)\].:*\"']|\s*$)")
_ANSWER_IS = re.compile(r"\b(?:answer|option|choice)(?: is)?[\s:*(\[\"']*\b([a-z])\b(?![ '-][a-z])")


def _accepted(sample: Sample) -> list[str]:
    more = sample.meta.get("accept", ())
    return ([sample.target] if sample.target is not None else []) + [str(other) for other in more]


def _exact_match(sample: Sample, answer: str) -> Score:
    targets = _accepted(sample)
    if not targets:
        return Score(None, "no_target")
    return Score(float(words(answer) in [words(target) for target in targets]))


def _contains(sample: Sample, answer: str) -> Score:
    targets = _accepted(sample)
    if not targets:
        return Score(None, "no_target")
    given = words(answer)
    return Score(float(any(_find(words(target), given) for target in targets)))


def _find(part: list[str], whole: list[str]) -> bool:
    return bool(part) and any(whole[i : i + len(part)] == part for i in range(len(whole) - len(part) + 1))


def last_number(text: str) -> float | None:
    """The number after the last `####`, or the last one of the text; commas, a currency sign, a final dot are fine."""
    plain = text.replace("−", "-").replace("-$", "-").replace("$", "")
    found = _NUMBER.findall(plain.rpartition("####")[2]) or _NUMBER.findall(plain)
    return float(found[-1].replace(",", "")) if found else None


def _numeric_match(sample: Sample, answer: str) -> Score:
    target = last_number(sample.target or "")
    if target is None:
        return Score(None, "no_target")
    given = last_number(answer)
    return Score(float(given is not None and abs(given - target) <= 1e-6 * max(1.0, abs(target))))


def chosen_option(answer: str, choices: tuple[str, ...]) -> int | None:
    """Which option an answer names: its text, a leading letter, the last "answer is X", or the only text it contains.

    None when it names none, or several without a verdict.
    """
    given, options = words(answer), [words(choice) for choice in choices]
    if given in options:
        return options.index(given)
    text = normalise(answer)
    letters = _ANSWER_IS.findall(text)
    match = _LETTER.match(text)
    for letter in [*([match.group(1)] if match else []), *letters[-1:]]:
        if 0 <= ord(letter) - ord("a") < len(choices):
            return ord(letter) - ord("a")
    named = [i for i, option in enumerate(options) if _find(option, given)]
    return named[0] if len(named) == 1 else None


def _option(sample: Sample, answer: str) -> Score:
    if sample.target is None or not sample.choices:
        return Score(None, "no_target")
    right = chosen_option(sample.target, sample.choices)
    if right is None:
        return Score(None, "no_target")
    chosen = chosen_option(answer, sample.choices)
    return Score(float(chosen == right), label="no_option" if chosen is None else "")


def common_words(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for word in a:
        before = 0
        for j, other in enumerate(b, 1):
            before, row[j] = row[j], before + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]


def _word_accuracy(sample: Sample, answer: str) -> Score:
    target = words(sample.target or "")
    if not target:
        return Score(None, "no_target")
    return Score(common_words(target, words(answer)) / len(target))


exact_match = register(
    Scorer(
        "exact-match:v1",
        "answer",
        _exact_match,
        official=False,
        source="equal words after case and punctuation are dropped; `meta['accept']` lists further right answers",
        known_bias="a right answer inside a sentence counts as wrong",
        checks=(("42", 1.0), ("42.", 1.0), ("It is 42", 0.0)),
    )
)
contains_match = register(
    Scorer(
        "contains-match:v1",
        "answer",
        _contains,
        official=False,
        source="the target's words occur in a row in the answer; `meta['accept']` lists further right answers",
        known_bias="an answer that lists everything counts as right",
        checks=(("It is 42.", 1.0), ("It is 24", 0.0)),
    )
)
numeric_match = register(
    Scorer(
        "numeric-match:v1",
        "answer",
        _numeric_match,
        official=False,
        source="the number after ####, else the last number of the answer, equals the target",
        known_bias="a number mentioned after the result counts as the result",
        checks=(("so 40 + 2 = 42", 1.0), ("#### $42.00", 1.0), ("42 or 43", 0.0), ("none", 0.0)),
    )
)
option = register(
    Scorer(
        "option:v1",
        "answer",
        _option,
        official=False,
        source="the option named by its text, a leading letter, or the last 'answer is X'",
        known_bias="an answer that names two options without a verdict is wrong",
        checks=(("A", 1.0), ("42", 1.0), ("The answer is (b).", 0.0), ("42 or 24", 0.0)),
    )
)
word_accuracy = register(
    Scorer(
        "word-accuracy:v1",
        "answer",
        _word_accuracy,
        official=False,
        source="longest common subsequence of words over the number of target words",
        known_bias="extra words cost nothing",
        checks=(("it reads 42", 1.0), ("nothing", 0.0)),
    )
)
