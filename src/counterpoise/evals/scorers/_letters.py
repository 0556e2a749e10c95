"""Which lettered option an answer names. An answer that names none is wrong; the official guess at random is left out.

The words of the options are not looked at: a model that repeats the question would name one by chance.
"""

import re
import string

from counterpoise.chat import Sample

from ._answers import contains_match, numeric_match
from ._scorer import NOT_APPLICABLE, Score, Scorer, register

# A and I are words as well: no letter when another word follows that does not give a reason
_ALONE = r"([B-HJ-Z](?![A-Za-z'])|[AI](?![A-Za-z'])(?! +(?!because|since|as\b|and\b|which)[a-z])|(?<=\()[a-z](?=\)))"
_IS = r"(?:\s+(?i:is|would\s+be|must\s+be|should\s+be|will\s+be))"
_MARK = r"\s*[:\s]\s*(?i:(?:option|choice|answer)\s+)?[*_$({\[\"']*(?:\\text\{)?\s*"
_SAID = re.compile(
    rf"(?:\b(?i:answer)\b{_IS}?|\b(?i:option|choice|solution|correct(?:\s+one)?|right(?:\s+one)?)\b(?:{_IS}"
    rf"|\s*:)){_MARK}{_ALONE}"
)
_RIGHT = re.compile(r"(?<![A-Za-z'\\])\(?([A-Z])\)?[*\"']*\s+is\s+(?:the\s+)?(?:correct|right|best)\b")
_DENIED = re.compile(
    # "not B", "rather than (B)"; "B is wrong", "B and C are not right"
    r"\b(?i:not|rather\s+than|instead\s+of|isn't|aren't|never|nor|rule[sd]?\s+out|eliminat(?:e|es|ed|ing))"
    r"\s+(?i:(?:option|choice|answer)\s+)?"
    r"[*_(\[\"']*(?:[B-HJ-Z](?![A-Za-z'])|[AI](?![A-Za-z'])(?!\s+[a-z])|(?<=\()[AI](?=\)))[*_)\]\"']*"
    r"(?:\s*(?:,|,?\s+(?:or|nor))\s+[*_(]*[A-Z](?![A-Za-z'])[*_)]*)*"
    r"|(?<![A-Za-z'\\])(?:[*_(]*[A-Z](?![A-Za-z'])[*_)]*(?:\s*,\s*|,?\s+and\s+"
    r"|,?\s+or\s+))*[*_(]*[A-Z](?![A-Za-z'])[*_)]*\s+"
    r"(?:is|are|was|were|cannot\s+be|can't\s+be)\s+(?:\w+\s+)?(?:not|wrong|incorrect|false|invalid|out)\b"
)
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*\(?([A-Z])\)?\s*\}")
_FIRST = re.compile(r"^[\s*_(\[\"']*(?i:option\s+)?([A-Z](?=[)\].:,*_\"']|\s*$|\s*\n)|[a-z](?=[)\]]|\s*$))")
_LAST = re.compile(r"(?<![A-Za-z'\\])([B-HJ-Z])(?![A-Za-z'])|\(([A-Z])\)")  # "A" and "I" are words


def letter(answer: str, n: int) -> str | None:
    """The letter among the first `n` that an answer names: boxed, else the last "answer is X", else the last "X is
    correct", else the leading one, else the last one that stands alone (A and I only in parentheses). A letter that is
    denied ("not B", "B is wrong") is not named. None when there is none.

    Follows the chain of MMLU-Pro (Wang et al. 2024, arXiv 2406.01574) without its guess.
    """
    known = string.ascii_uppercase[:n]
    text = _DENIED.sub(" ", answer.replace("’", "'"))
    for pattern, place in ((_BOXED, -1), (_SAID, -1), (_RIGHT, -1), (_FIRST, 0), (_LAST, -1)):
        found = [(a if isinstance(a, str) else a[0] or a[1]).upper() for a in pattern.findall(text)]
        found = [each for each in found if each in known]
        if found:
            return found[place]
    return None


def _letter(sample: Sample, answer: str) -> Score:
    """Targets are letters; the number of options is `meta["options"]`, or that of the choices."""
    target, n = sample.target or "", int(sample.meta.get("options", len(sample.choices)))
    if target in sample.choices:
        target = string.ascii_uppercase[sample.choices.index(target)]
    if not n or target not in string.ascii_uppercase[:n] or not target:
        return Score(None, "no_target")
    given = letter(answer, n)
    return Score(float(given == target), label="no_option" if given is None else "")


def _vanilla(sample: Sample, answer: str) -> Score:
    if sample.meta.get("rotation", 0):
        return Score(None, NOT_APPLICABLE)
    return _letter(sample, answer)


def _mmmu(sample: Sample, answer: str) -> Score:
    """Letters for multiple choice; for open questions a number, or one of the accepted answers inside the answer."""
    if sample.choices:
        return _letter(sample, answer)
    number = re.fullmatch(r"[-+$\s\d.,%]*\d[\d.,%\s]*", sample.target or "")
    return (numeric_match if number else contains_match)(sample, answer)


_CHECKS = (
    ("A", 1.0),
    ("The answer is (A).", 1.0),
    ("The correct option is A, not B.", 1.0),
    ("(B) because it fits", 0.0),
    ("no idea", 0.0),
)
_BIAS = "an answer that spells out an option without its letter is wrong"

letter_match = register(
    Scorer(
        "letter:v2",
        "answer",
        _letter,
        official=False,
        source="boxed letter, else last 'answer is X', 'X is correct', leading letter, last letter on its own; a "
        "denied letter ('not B') is not named; never a guess",
        known_bias=_BIAS,
        checks=_CHECKS,
    )
)
letter_vanilla = register(
    Scorer(
        "letter-vanilla:v2",
        "answer",
        _vanilla,
        official=False,
        source="letter:v2, on options in the published order only",
        known_bias=_BIAS,
        checks=_CHECKS,
    )
)
mmmu_rules = register(
    Scorer(
        "mmmu-rules:v2",
        "answer",
        _mmmu,
        official=False,
        source="letter:v2 for multiple choice, numeric-match or contains-match for open questions",
        known_bias="the official rules guess at random where no letter is found; here that is wrong (label no_option)",
        checks=_CHECKS,
    )
)
