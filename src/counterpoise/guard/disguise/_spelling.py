"""Words spelled otherwise: letters apart, reversed, exchanged for digits and signs, shifted in the alphabet."""

import codecs
import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from math import log

from ._words import english_counts, known_words

_LETTER = r"[^\W\d_]"
_APART = re.compile(
    rf"(?<![^\W_])(?:{_LETTER}(?P<gap>[ \t]{{1,3}}|[ \t]?[^\w\s'\"][ \t]?|_))"
    rf"(?:{_LETTER}(?:(?P=gap)|[ \t]{{1,8}}|[ \t]*[/|][ \t]*)){{2,}}{_LETTER}(?![^\W_])"
)
"""Single letters with the same thing between them, or with blanks where words end."""
_LEET = {
    "4": "a", "@": "a", "8": "b", "3": "e", "6": "g", "9": "g", "1": "il", "!": "il", "|": "li", "0": "o", "5": "s",
    "$": "s", "7": "t", "+": "t", "2": "z",
}  # fmt: skip
_LEET_WORD = re.compile(r"(?<![\w@$!|+])(?=[A-Za-z]*[0-9@$!|+])[A-Za-z0-9@$!|+]{1,24}(?![\w@$])")
_SHORT = 4
"""A shorter word with a digit in it is a name or a quantity (3D, H2O), unless the text has several words in digits."""
_MOST = 64
"""Readings of one word in digits that are tried."""
UNCUT, LONGEST = 12, 2000
"""Letters in a row: so many that make no words are a text, and more than that nobody cuts in one piece."""
_RARE = 50
"""Words of at most so many of the dictionary's counts are parts of others, mostly."""
_MOST_COST = 2.8
"""Nats a letter. Requests in English cost 1.2 to 2.7 (in very short words most), in other languages 2.7 to 3.2."""
_TURNED = dict(zip("ɐqɔpǝɟƃɥᴉıɾʞlɯuodbɹsʇnʌʍxʎz", "abcdefghiijklmnopqrstuvwxyz", strict=True))
_ONLY_TURNED = re.compile("[ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎ]")
_TOKEN = re.compile(r"[A-Za-z]{4,}")


def joined(text: str) -> tuple[str, bool]:
    """Letters that stand apart as words again: `s t e a l`, `s.t.e.a.l`, `s-t-e-a-l  a  c-a-r`. And whether UNCUT of
    them in a row make no English words, so that they are in another language or none."""
    lost = False

    def read(found: re.Match[str]) -> str:
        nonlocal lost
        words = ["".join(re.findall(r"[^\W\d_]", part)) for part in _parts(found[0], found["gap"])]
        shown = [cut(word) if len(word) > 3 else word for word in words]
        lost = lost or any(made is None and len(word) >= UNCUT for made, word in zip(shown, words, strict=True))
        return " ".join(made or word for made, word in zip(shown, words, strict=True))

    return _APART.sub(read, text), lost


def _parts(run: str, gap: str) -> list[str]:
    """Where words end: at a wider gap than the one between letters, or at blanks where that is no blank."""
    wider = rf"[ \t]{{{len(gap) + 1},}}|[ \t]*[/|][ \t]*" if not gap.strip(" \t") else r"[ \t]{2,}|(?<=\w)[ \t]+(?=\w)"
    return re.split(wider, run)


def _cost(word: str) -> float:
    """Minus the logarithm of a word's share of English texts; rare and unknown ones cost more the longer they are."""
    count = english_counts().get(word, 0) if len(word) > 1 or word in "ai" else 0
    return log(_total() / count) if count > _RARE else 12.0 + 2.5 * len(word)


@cache
def _total() -> int:
    return sum(english_counts().values())


def cut(letters: str) -> str | None:
    """Letters without blanks cut into the likeliest English words (unigrams); None where these are so unlikely that the
    letters are in another language, or none, and where there are more than LONGEST."""
    if len(letters) > LONGEST:
        return None
    low, longest = letters.lower(), 24
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(low) + 1):
        starts = range(max(0, end - longest), end)
        best.append(min((best[start][0] + _cost(low[start:end]), start) for start in starts))
    if best[-1][0] > _MOST_COST * len(low):
        return None
    words, end = [], len(low)
    while end:
        start = best[end][1]
        words.append(letters[start:end])
        end = start
    return " ".join(reversed(words))


def unleeted(text: str) -> str:
    """Digits and signs within words as the letters that they stand for, where a known word comes out; in a text with
    several such words also in short words, and where none that is known comes out."""
    spelled = sum(_word_of(found[0], _SHORT) != found[0] for found in _LEET_WORD.finditer(text))
    return _LEET_WORD.sub(lambda found: _word_of(found[0], 1 if spelled >= 2 else _SHORT), text) if spelled else text


def _word_of(word: str, least: int) -> str:
    """The word that is meant, if it has at least that many letters."""
    core = word.rstrip("!|+")
    for own in dict.fromkeys((word, core)):
        if len(own) < least or not any(each in _LEET for each in own):
            continue
        if least > 1 and not any(each.isalpha() for each in own):
            continue
        readings = ["".join(each) for each in _some([_LEET.get(each, each.lower()) for each in own])]
        for reading in readings:
            if reading in known_words() or (reading.endswith("s") and reading[:-1] in known_words()):
                return reading + word[len(own) :]
    signs = sum(each in _LEET for each in core)
    return readings[0] + word[len(core) :] if least == 1 and 2 <= signs < len(core) else word


def _some(choices: list[str]) -> Iterator[tuple[str, ...]]:
    for number, each in enumerate(product(*choices)):
        if number >= _MOST:
            return
        yield each


def reversed_words(text: str) -> str:
    """Each word backwards, the words in their order."""
    return re.sub(r"\w+", lambda found: found[0][::-1], text)


def turned(text: str) -> str:
    """Upside-down letters set upright; they are written from the end."""
    if text.isascii() or len(_ONLY_TURNED.findall(text)) < 3:
        return text
    return "".join(_TURNED.get(each, each) for each in text[::-1])


def _alphabets() -> dict[str, dict[int, int]]:
    low, high = string.ascii_lowercase, string.ascii_uppercase
    order = (13, *(n for n in range(1, 26) if n != 13))
    made = {by: str.maketrans(low + high, low[by:] + low[:by] + high[by:] + high[:by]) for by in order}
    named = {"rot13" if by == 13 else f"shift by {by}": table for by, table in made.items()}
    return named | {"mirrored alphabet": str.maketrans(low + high, low[::-1] + high[::-1])}


_ALPHABETS = _alphabets()
"""Caesar shifts and the mirrored alphabet, by the name of the code."""
BACKWARDS = ("reversed letters", "reversed words")
CODES = (*BACKWARDS, *_ALPHABETS)
"""Of whole passages, letter by letter; in this order they are tried."""


def decoded(text: str, code: str) -> str:
    """The text that is meant if it was written in one of CODES."""
    if code in _ALPHABETS:
        return text.translate(_ALPHABETS[code])
    return text[::-1] if code == "reversed letters" else reversed_words(text)


@cache
def _coded() -> dict[str, tuple[str, ...]]:
    """A known word in a code -> the codes in which it is one. A look into it for each word of a passage tells how many
    words of the passage would be known in each code, and a passage in which few would be need not be decoded."""
    into = {code: {b: a for a, b in table.items()} for code, table in _ALPHABETS.items()}
    found: dict[str, list[str]] = {}
    for word in known_words():
        found.setdefault(word[::-1], []).extend(BACKWARDS)
        for code, table in into.items():
            found.setdefault(word.translate(table), []).append(code)
    return {word: tuple(codes) for word, codes in found.items()}


def likely_codes(words: Sequence[str], least: float) -> list[str]:
    """Those of CODES in which at least this share of the words of a passage are known ones."""
    known = Counter(code for word in words for code in _coded().get(word, ()))
    return [code for code in CODES if known[code] and known[code] / len(words) >= least]


@cache
def _hidden() -> dict[str, tuple[str, str]]:
    """What is no known word, but one backwards or in rot13 -> which of these, and the word."""
    backwards = {word[::-1]: ("reversed letters", word) for word in known_words()}
    turned = {codecs.encode(word, "rot13"): ("rot13", word) for word in known_words()}
    return {word: meant for word, meant in (backwards | turned).items() if word not in known_words()}


def hidden_words(text: str) -> tuple[str, tuple[str, ...]]:
    """Single words in rot13 or backwards within an ordinary text: those that are no words, and are known ones then."""
    undone: dict[str, None] = {}
    hidden = _hidden()
    count = sum(map(hidden.__contains__, map(str.lower, _TOKEN.findall(text))))
    if not count:
        return text, ()

    def read(found: re.Match[str]) -> str:
        seen = hidden.get(found[0].lower()) if count > 1 or len(found[0]) > _SHORT else None
        if seen is None:
            return found[0]
        undone[seen[0]] = None
        return seen[1]

    return _TOKEN.sub(read, text), tuple(undone)
