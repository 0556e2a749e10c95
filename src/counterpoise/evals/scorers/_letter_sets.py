"""Which letters an answer names where several may be right."""

import re

from counterpoise.chat import Sample

from ._scorer import Score, Scorer, register

_MARKED = re.compile(r"<ans>(.*?)(?:<eoa>|</ans>|$)", re.DOTALL | re.IGNORECASE)
_MARKUP = re.compile(r"\*+|_{2,}|`+|\\text(?=\{)|\\boxed(?=\{)|[$\\]")
_LEAD = re.compile(
    # "The correct answers are", "Options:", "Both"
    r"^\W*(?:(?:so|thus|therefore|hence),?\s+)?(?:(?:the|my|your)\s+)?(?:(?:final|correct|right|best)\s+)*"
    r"(?:(?:answers?|picks?|selected|selection|chosen|options?|choices?|letters?|ones?)(?:\s+(?:is|are|would\s+be"
    r"|should\s+be))?(?:\s*:)?"
    r"\s*(?:(?:options?|choices?|letters?)\s+)?)?(?:both\s+)?",
    re.IGNORECASE,
)
_LETTER = r"[(\[{]*[A-H][)\]}]*"
_JOIN = r"(?:\s*[,;/&+\n]+\s*(?:(?:[-•]|\d\d?[.)])\s*)?(?:and\s+)?|\s+(?:and|und|et|y)\s+|\s*)"
_BARE = re.compile(
    rf"[\s(\[{{-]*(?:\d\d?[.)]\s*)?{_LETTER}(?:{_JOIN}{_LETTER})*(?:\s+(?:is|are)\s+(?:both\s+|all\s+)?(?:correct"
    rf"|right|true))?[)\]}}.!\s]*"
)


def letter_set(answer: str) -> frozenset[str] | None:
    """The letters between the last <ans> and <eoa>, or an answer of nothing but letters, joined in any of the usual
    ways and behind at most "the answers are". None when there is neither."""
    marked = _MARKED.findall(answer)
    plain = _MARKUP.sub("", answer)
    if marked:
        text = marked[-1]
    elif _BARE.fullmatch(text := _LEAD.sub("", plain)) or _BARE.fullmatch(text := plain):
        pass
    else:
        return None
    found = frozenset(re.findall(r"(?<![A-Za-z])[A-H](?![a-z])|(?<=[A-H])[A-H](?![a-z])", text))
    return found or None


def _exact(sample: Sample, answer: str) -> Score:
    if not sample.target:
        return Score(None, "no_target")
    given = letter_set(answer)
    return Score(float(given == frozenset(sample.target)), label="no_letters" if given is None else "")


letter_set_match = register(
    Scorer(
        "letter-set:v2",
        "answer",
        _exact,
        official=False,
        source="the letters between <ans> and <eoa> (or an answer of letters alone) are exactly the right ones",
        known_bias="half of the right letters count as nothing; letters inside sentences are not looked for",
        checks=(
            ("<ans>AC<eoa>", 1.0), ("**A & C**", 1.0), ("<ans>C, A</ans> because", 1.0), ("A and C", 1.0),
            ("<ans>A<eoa>", 0.0), ("A plan in C", 0.0), ("I cannot choose.", 0.0),
        ),
        targets=("AC",) * 7,
    )
)  # fmt: skip
