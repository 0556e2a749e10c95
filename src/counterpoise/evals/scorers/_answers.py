"""Scorers of right and wrong answers. An answer without the asked-for form is wrong, not unscored.

Otherwise a model that refuses every question would keep its accuracy on the few it answers. Only what is no reply at
all (empty, cut off in its thought, filtered) is unscored, as everywhere; rows count it by reason.
"""

import re

from counterpoise.chat import Sample

from ._numbers import last_value, same_value
from ._scorer import Score, Scorer, register
from ._text import normalise, words

NO_ARTICLE = (
    r"(?:because|since|as|for|and|which|that|but|due|given|based|from|with|while|whereas|though|although|rather|over"
    r"|instead|not|so|if|when|where|is|was|by|per|on|in|at|to|of|despite|even|here|too|again|would|will|must|can|seems"
    r"|looks|fits|best|only)"
)
"""Words that stand behind the letter A and not behind the article "a"."""
_LETTER = re.compile(rf"^[\s*(\[\"']*(?:([a-z])(?:[)\].:*\"']|\s*$)|([a-hj-z]) {NO_ARTICLE}\b)")
_ANSWER_IS = re.compile(
    r"\b(?:answer|option|choice)(?: (?:is|would be|must be|should be))?[\s:*(\[\"']*(?:(?:option|choice"
    r"|answer) )?[*(\[\"']*\b([a-z])\b"
    rf"(?!['-][a-z])(?:(?<!\ba)(?<!\bi)|(?! [a-z])|(?= {NO_ARTICLE}\b))(?! or \(?[a-z]\b)"
)
_CHOSEN = re.compile(
    r"\b(?:i|we)(?: \w+){0,2}? (?:pick|choose|chose|select|say|guess|prefer|go with|went with|opt for"
    r"|vote for|lean towards?|settle on|answer)(?: (?:option|choice|answer))?[\s:*(\[\"']+([a-z])\b"
    rf"(?!['-][a-z])(?:(?<!\ba)(?<!\bi)|(?! [a-z])|(?= {NO_ARTICLE}\b))(?! or \(?[a-z]\b)"
)
_NOT_LETTER = re.compile(
    r"\b(?:not|rather than|instead of|over|unlike|other than|than|isn't|aren't|wasn't|never|nor)\b(?: (?:option|choice"
    r"|answer))?[\s*(\[\"']+\b[a-z]\b(?!['-])(?! [a-z])"
    r"|\b(?:option |choice )?[a-hj-z]\b[)*\]]* (?:is|was|are|cannot be|can't be)(?: \w+)? (?:not|wrong|incorrect"
    r"|false|out)\b"
)
_NOT = ("not", "isn't", "aren't", "wasn't", "never", "nor", "neither")
_OTHER_THAN = (("rather", "than"), ("instead", "of"), ("other", "than"))


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


def _numeric_match(sample: Sample, answer: str) -> Score:
    target = last_value(sample.target or "")
    if target is None:
        return Score(None, "no_target")
    return Score(float(same_value(last_value(answer), target)))


def chosen_option(answer: str, choices: tuple[str, ...]) -> int | None:
    """Which option an answer names: its text, a leading letter, the last "answer is X", the last "I choose X", a
    leading letter with words behind it, or the only text it contains.

    None when it names none, or several without a verdict.
    """
    given, options = words(answer), [words(choice) for choice in choices]
    if given in options:
        return options.index(given)
    text = _NOT_LETTER.sub(" ", normalise(answer))
    letters = _ANSWER_IS.findall(text) or _CHOSEN.findall(text)
    match = _LETTER.match(text)
    alone, led = match.groups() if match else (None, None)
    for letter in filter(None, (alone, *letters[-1:], led)):
        if 0 <= ord(letter) - ord("a") < len(choices):
            return ord(letter) - ord("a")
    named = _named(options, given)
    return named[0] if len(named) == 1 else None


def _named(options: list[list[str]], given: list[str]) -> list[int]:
    """The options whose text an answer names: not behind a "not", and not as a part of a longer option's text."""
    left: list[str] = list(given)
    named = []
    for index in sorted(range(len(options)), key=lambda each: -len(options[each])):
        option, size = options[index], len(options[index])
        places = [i for i in range(len(left) - size + 1) if size and left[i : i + size] == option]
        if any(not _denied(given[:place]) for place in places):
            named.append(index)
        for place in places:
            left[place : place + size] = [""] * size
    return named


def _denied(before: list[str]) -> bool:
    """Whether the words before a name deny it: "not", "not the", "rather than"."""
    said = before[:-1] if before[-1:] and before[-1] in ("a", "an", "the") else before
    return said[-1:] != [] and (said[-1] in _NOT or tuple(said[-2:]) in _OTHER_THAN)


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
        "exact-match:v2",
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
        "contains-match:v2",
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
        "numeric-match:v2",
        "answer",
        _numeric_match,
        official=False,
        source="the number right behind the first ####, else the last number of the answer, equals the target; a "
        "fraction is its value, a time or a ratio is its text",
        known_bias="a number mentioned after the result counts as the result",
        checks=(("so 40 + 2 = 42", 1.0), ("#### $42.00", 1.0), ("42 or 43", 0.0), ("none", 0.0), ("1/42", 0.0)),
    )
)
option = register(
    Scorer(
        "option:v3",
        "answer",
        _option,
        official=False,
        source="the option named by its text, a leading letter, or the last 'answer is X' or 'I choose X'; what is "
        "denied ('not B', 'over B') is not named",
        known_bias="an answer that names two options without a verdict is wrong",
        checks=(("A", 1.0), ("42", 1.0), ("The answer is (b).", 0.0), ("42 or 24", 0.0), ("Option A, not B.", 1.0)),
    )
)
word_accuracy = register(
    Scorer(
        "word-accuracy:v2",
        "answer",
        _word_accuracy,
        official=False,
        source="longest common subsequence of words over the number of target words",
        known_bias="extra words cost nothing",
        checks=(("it reads 42", 1.0), ("nothing", 0.0)),
    )
)
