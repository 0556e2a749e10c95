"""Which lettered option an answer names. An answer that names none is wrong; the official guess at random is left out.

The words of the options are not looked at: a model that repeats the question would name one by chance.
"""

import re
import string

from counterpoise.chat import Sample

from ._answers import NO_ARTICLE, contains_match, numeric_match
from ._scorer import NOT_APPLICABLE, Score, Scorer, register

# A and I are words as well: no letter when another word follows, but for those that follow no article and no pronoun
_ALONE = (
    r"([B-HJ-Z](?![A-Za-z'])|A(?![A-Za-z'])(?! +(?!"
    + NO_ARTICLE
    + r"\b)[a-z])|I(?![A-Za-z'])(?! +(?!(?:because|since|as|and|but|which|due|given|rather|over|instead|is)\b)[a-z])"
    r"|(?<=\()[a-z](?=\)))"
)
_ONE = r"(?![*_)\]\"'}]*\s*(?:/|\bor\b)\s*[*_(\[]*[A-Z](?![A-Za-z']))"  # "A or B" is no verdict
_IS = r"(?:\s+(?i:is|would\s+be|must\s+be|should\s+be|will\s+be))"
_MARK = r"\s*[:\s]\s*(?i:(?:option|choice|answer)\s+)?[*_$({\[\"']*(?:\\text\{)?\s*"
_SAID = re.compile(
    rf"(?:\b(?i:answer)\b{_IS}?|\b(?i:option|choice|solution|(?:correct|right|best)(?:\s+one)?)\b(?:\s+(?:here|above"
    rf"|of\s+these))?(?:{_IS}"
    rf"|\s*:)){_MARK}{_ALONE}{_ONE}"
)
_CHOSEN = re.compile(
    # "I would pick A over B", "let's go with (C)"
    r"(?:\b[Mm]y\s+(?:pick|choice|guess|vote|bet|money|selection|conclusion)\s+(?:is|would\s+be|goes\s+to|is\s+on)\b"
    r"|\b(?:[Ii]t(?:'s|\s+(?:is|must\s+be|has\s+to\s+be|should\s+be|would\s+be|will\s+be)))\b|\b(?:I|[Ww]e|[Ll]et's"
    r"|[Ll]et\s+us|[Ll]et\s+me)(?:'d|'ll|'m)?(?:\s+[a-z']+){0,3}?\s+"
    r"(?:pick(?:ing)?|choos(?:e|ing)|chose|select(?:ing)?|say|guess|prefer|go(?:ing)?\s+(?:with|for)|went\s+(?:with"
    r"|for)|opt(?:ing)?\s+for"
    r"|vote\s+for|lean(?:ing)?\s+towards?|settle\s+on|answer|believe|think)\b)"
    rf"(?:\s+(?:it\s+is|it's|that|is))?{_MARK}{_ALONE}{_ONE}"
)
_RIGHT = re.compile(
    r"(?<![A-Za-z'\\])\(?([A-Z])\)?[*\"']*\s+(?:is|seems|looks|fits)\s+(?:to\s+be\s+)?(?:clearly\s+|probably\s+"
    r"|definitely\s+)?"
    r"(?:the\s+)?(?:most\s+)?(?:correct|right|best|better|answer|closest|likely|plausible|accurate|only"
    r"|one)\b(?!\s+to\b)"
)
_LETTERS = r"[*_(\[\"']{0,4}(?:[B-HJ-Z](?![A-Za-z'])|[AI](?![A-Za-z'])(?!\s+[a-z])|(?<=\()[AI](?=\)))[*_)\]\"']{0,4}"
_DENIED = re.compile(
    # "not B", "rather than (B)", "over B and C"; "B is wrong", "B and C are not right", "but B is close"
    r"\b(?i:not|rather\s+than|instead\s+of|isn't|aren't|never|nor|rule[sd]?\s+out|eliminat(?:e|es|ed|ing)|over|than"
    r"|unlike"
    r"|as\s+opposed\s+to|except(?:\s+for)?|besides)"
    rf"\s+(?i:(?:option|choice|answer)s?\s+)?{_LETTERS}(?:\s*(?:,|,?\s+(?:or|nor"
    rf"|and))\s+[*_(]{{0,4}}[A-Z](?![A-Za-z'])[*_)]{{0,4}}(?!\s+(?:is|fits|looks|seems|must|would)\b)){{0,8}}"
    r"|(?<![A-Za-z'\\])(?:[*_(]{0,4}[A-Z](?![A-Za-z'])[*_)]{0,4}(?:\s*,\s*|,?\s+and\s+"
    r"|,?\s+or\s+)){0,8}[*_(]{0,4}[A-Z](?![A-Za-z'])[*_)]{0,4}\s+"
    r"(?:is|are|was|were|seems?|looks?|comes?|cannot\s+be|can't\s+be)\s+(?:\w+\s+){0,2}?"
    r"(?:not|wrong|incorrect|false|invalid|out|close|closer?|second|tempting|similar|plausible|possible|related|partly"
    r"|partially)\b"
)
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*\(?([A-Z])\)?\s*\}")
_FIRST = re.compile(
    rf"^[\s*_(\[\"']*(?i:(?:so|thus|hence|therefore|definitely|clearly|probably|surely),?\s+)?(?i:(?:option|answer"
    rf"|choice)\s+)?([A-Z](?=[)\].:,;*_\"'!]|\s*$|\s*\n|\s+[-–—]\s|\s+{NO_ARTICLE}\b)"
    rf"|[a-z](?=[)\]]|\s*$)){_ONE}"
)
_EITHER = re.compile(r"\(?\b[A-Z]\b\)?\s*(?:/|&|\b(?:or|and)\b)\s*\(?[A-Z]\b(?!')\)?")
_LAST = re.compile(r"(?<![A-Za-z'\\])([B-HJ-Z])(?![A-Za-z'])|\(([A-Z])\)")  # "A" and "I" are words


def letter(answer: str, n: int) -> str | None:
    """The letter among the first `n` that an answer names: boxed, else the last "answer is X", else the last "I choose
    X", else the last "X is correct", else the leading one, else the last one that stands alone (A and I only in
    parentheses). A letter that is denied ("not B", "over B", "B is wrong") is not named. None when there is none.

    Follows the chain of MMLU-Pro (Wang et al. 2024, arXiv 2406.01574) without its guess.
    """
    known = string.ascii_uppercase[:n]
    text = _DENIED.sub(" ", answer.replace("’", "'"))
    for pattern, place in ((_BOXED, -1), (_SAID, -1), (_CHOSEN, -1), (_RIGHT, -1), (_FIRST, 0), (_LAST, -1)):
        text = _EITHER.sub(" ", text) if pattern is _LAST else text
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
        "letter:v3",
        "answer",
        _letter,
        official=False,
        source="boxed letter, else last 'answer is X', 'I choose X', 'X is correct', leading letter, last letter on "
        "its own; a denied letter ('not B', 'over B') is not named; never a guess",
        known_bias=_BIAS,
        checks=_CHECKS,
    )
)
letter_vanilla = register(
    Scorer(
        "letter-vanilla:v3",
        "answer",
        _vanilla,
        official=False,
        source="letter:v3, on options in the published order only",
        known_bias=_BIAS,
        checks=_CHECKS,
    )
)
mmmu_rules = register(
    Scorer(
        "mmmu-rules:v3",
        "answer",
        _mmmu,
        official=False,
        source="letter:v3 for multiple choice, numeric-match or contains-match for open questions",
        known_bias="the official rules guess at random where no letter is found; here that is wrong (label no_option)",
        checks=_CHECKS,
    )
)
