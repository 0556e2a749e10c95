"""Words spelled otherwise: letters apart, reversed, exchanged for digits and signs, shifted in the alphabet."""

import codecs
import re
import string
from collections.abc import Iterator
from functools import cache
from itertools import product

from ._words import known_words

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
_LEET_WORD = re.compile(r"(?<![\w@$!|+])[A-Za-z0-9@$!|+]{1,24}(?![\w@$])")
_SHORT = 4
"""A shorter word with a digit in it is a name or a quantity (3D, H2O), unless the text has several words in digits."""
_MOST = 64
"""Readings of one word in digits that are tried."""
_TURNED = dict(zip("ɐqɔpǝɟƃɥᴉıɾʞlɯuodbɹsʇnʌʍxʎz", "abcdefghiijklmnopqrstuvwxyz", strict=True))
_ONLY_TURNED = frozenset("ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎ")
_TOKEN = re.compile(r"[A-Za-z]{4,}")


def joined(text: str) -> str:
    """Letters that stand apart as words again: `s t e a l`, `s.t.e.a.l`, `s-t-e-a-l  a  c-a-r`."""
    return _APART.sub(lambda found: _words_of(found[0], found["gap"]), text)


def _words_of(run: str, gap: str) -> str:
    words = ["".join(re.findall(r"[^\W\d_]", part)) for part in _parts(run, gap)]
    return " ".join(cut(word) if len(word) > 3 else word for word in words)


def _parts(run: str, gap: str) -> list[str]:
    """Where words end: at a wider gap than the one between letters, or at blanks where that is no blank."""
    wider = rf"[ \t]{{{len(gap) + 1},}}|[ \t]*[/|][ \t]*" if not gap.strip(" \t") else r"[ \t]{2,}|(?<=\w)[ \t]+(?=\w)"
    return re.split(wider, run)


@cache
def _cost(word: str) -> float:
    return 1.0 if word in known_words() else 1.5 + 2.0 * len(word)


def cut(letters: str) -> str:
    """Letters without blanks cut into words: as few and as well known ones as possible. A stretch that is no known
    word stays whole."""
    low, longest = letters.lower(), 20
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(low) + 1):
        starts = range(max(0, end - longest), end)
        best.append(min((best[start][0] + _cost(low[start:end]) + (0.4 if end - start < 3 else 0.0), start)
                        for start in starts))  # fmt: skip
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
    if sum(each in _ONLY_TURNED for each in text) < 3:
        return text
    return "".join(_TURNED.get(each, each) for each in text[::-1])


def shifts(text: str) -> Iterator[tuple[str, str]]:
    """The text under each Caesar shift and in the mirrored alphabet, with the name of the code."""
    yield "rot13", codecs.encode(text, "rot13")
    low, high = string.ascii_lowercase, string.ascii_uppercase
    for by in (n for n in range(1, 26) if n != 13):
        yield f"shift by {by}", text.translate(str.maketrans(low + high, low[by:] + low[:by] + high[by:] + high[:by]))
    yield "mirrored alphabet", text.translate(str.maketrans(low + high, low[::-1] + high[::-1]))


def hidden_words(text: str) -> tuple[str, tuple[str, ...]]:
    """Single words in rot13 or backwards within an ordinary text: those that are no words, and are known ones then."""
    undone: dict[str, None] = {}

    def meant(word: str) -> tuple[str, str] | None:
        if word in known_words():
            return None
        made = {"rot13": codecs.encode(word, "rot13"), "reversed letters": word[::-1]}
        return next(((name, other) for name, other in made.items() if other in known_words()), None)

    words = [each.lower() for each in _TOKEN.findall(text)]
    several = sum(meant(word) is not None for word in words) > 1

    def read(found: re.Match[str]) -> str:
        seen = meant(found[0].lower()) if several or len(found[0]) > _SHORT else None
        if seen is None:
            return found[0]
        undone[seen[0]] = None
        return seen[1]

    return _TOKEN.sub(read, text), tuple(undone)
