"""Letters that only look like, or hide, ordinary ones: compatibility forms, look-alikes, tags, invisible characters."""

import re
import unicodedata
from functools import lru_cache

TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
"""Unicode tag characters, an invisible copy of ASCII, and the letters they stand for."""
_LOOKS = (
    # letters that Unicode's list of confusables (UTS 39) gives for one Latin letter, by alphabet
    ("абвгԁеһіјкӏмпорԛѕтуѵԝхуАВСЕНІЈКМОРԚЅТԜХУЬҺ", "abbrdehijklmnopqstuvwxyABCEHIJKMOPQSTWXYbh"),
    ("сго", "cro"),
    ("αβγδεικνορςστυωχηΑΒΕΖΗΙΚΜΝΟΡΤΥΧϲϳϱ", "abydeikvopsotuwxnABEZHIKMNOPTYXcjp"),
    ("ոսցհքօյզԼՕՏՍգ", "nughpojqLOSUq"),
    ("ᎪᏴᏟᎠᎬᏀᎻᏆᎫᏦᏞᎷᎩᏢᎡᏚᎢᏙᎳᎽᏃ", "ABCDEGHIJKLMYPRSTVWYZ"),
    ("׀וסחן", "llonl"),
    ("ⲟⲣⲥⲭⲁⲉⲓⲕⲙⲛ", "opcxaeikmn"),
    ("ıȷɩɑɡℓ", "ijiagl"),
)
_FOLD = {ord(a): b for theirs, ours in _LOOKS for a, b in zip(theirs, ours, strict=True)}
_NAMED = re.compile(
    r"(?:LATIN (?:CAPITAL |SMALL )?LETTER (?:SMALL CAPITAL )?|(?:NEGATIVE |CROSSED )*(?:CIRCLED|SQUARED|PARENTHESIZED)"
    r" LATIN (?:CAPITAL|SMALL) LETTER |REGIONAL INDICATOR SYMBOL LETTER )([A-Z])(?: WITH .*)?"
)
_WORD = re.compile(r"[^\W\d_]+")
_HIDDEN = re.compile(
    r"(?<=\w)[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufeff\uffa0\ufff9-\ufffb]+(?=\w)"
)
_MARKS = re.compile(r"([A-Za-z])[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0]+")
_FLAG = "(?<![\U0001f1e6-\U0001f1ff])[\U0001f1e6-\U0001f1ff]{2}(?![\U0001f1e6-\U0001f1ff])"
_SYMBOLS = re.compile(f"{_FLAG}|[\u2460-\u24ff\U00010000-\U0010ffff]")
_OTHERS = re.compile(r"[^\x00-\x7f]")
_SELECTORS = re.compile(r"[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")


def plain_letters(text: str) -> tuple[str, tuple[str, ...]]:
    """A text with letters that a reader takes for ordinary ones made ordinary, and the names of what was undone."""
    if text.isascii():
        return text, ()
    undone: list[str] = []
    for name, step in _STEPS:
        if (made := step(text)) != text:
            undone.append(name)
            text = made
    return text, tuple(undone)


def _tags(text: str) -> str:
    """An invisible copy of ASCII that some models read. Flags of regions are a black flag with tags behind it."""
    return re.sub("\U0001f3f4[\U000e0020-\U000e007f]+", "", text).translate(TAGS)


def _selectors(text: str) -> str:
    """Bytes written as variation selectors behind another character."""

    def decoded(found: re.Match[str]) -> str:
        codes = (ord(each) for each in found[0])
        data = bytes(code - 0xFE00 if code < 0xE0100 else code - 0xE0100 + 16 for code in codes)
        return " " + data.decode("utf-8", "replace") + " "

    return _SELECTORS.sub(decoded, text)


def _visible(text: str) -> str:
    return _HIDDEN.sub("", text)


def _marks(text: str) -> str:
    """Without marks on letters that no alphabet has: what is left of them when accents have become one letter."""
    return _MARKS.sub(r"\1", unicodedata.normalize("NFC", text)) if _MARKS.search(text) else text


def _compatible(text: str) -> str:
    """NFKC: full-width, mathematical, circled and small letters are letters; quotes and the like stay as they are."""
    return _OTHERS.sub(lambda found: _kept(found[0]), text)


@lru_cache(maxsize=4096)
def _kept(character: str) -> str:
    made = unicodedata.normalize("NFKC", character)
    return made if made != character and any(each.isascii() and each.isalnum() for each in made) else character


def _alike(text: str) -> str:
    """Words that mix Latin letters with look-alikes of other alphabets, or hold nothing but look-alikes. A text with
    words of another alphabet that look like none of ours is in that alphabet: of it only mixed words are read."""
    shown = _symbols(text)
    made = {word: _folded(word) for word in set(_WORD.findall(shown)) if not word.isascii()}
    foreign = any(not each.isascii() and not any(map(_ascii_letter, word)) for word, each in made.items())

    def folded(found: re.Match[str]) -> str:
        word = found[0]
        meant = made.get(word, word)
        return meant if meant.isascii() and (not foreign or any(map(_ascii_letter, word))) else word

    return _WORD.sub(folded, shown)


def _folded(word: str) -> str:
    made = word.translate(_FOLD)
    return made if made.isascii() else "".join(_named(each) for each in made)


def _ascii_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


def _symbols(text: str) -> str:
    """Letters in squares and circles, and those that flags are made of; pairs of the latter are flags."""
    return _SYMBOLS.sub(lambda found: _named(found[0]) if len(found[0]) == 1 else found[0], text)


@lru_cache(maxsize=4096)
def _named(character: str) -> str:
    """The letter that Unicode's name of a character gives, if it is a letter with something beside it."""
    if character.isascii() or unicodedata.decomposition(character):
        return character
    found = _NAMED.fullmatch(unicodedata.name(character, ""))
    return (found[1] if unicodedata.category(character) != "Ll" else found[1].lower()) if found else character


_STEPS = (
    ("Unicode tags", _tags),
    ("variation selectors", _selectors),
    ("invisible characters", _visible),
    ("stacked marks", _marks),
    ("compatibility forms", _compatible),
    ("look-alike letters", _alike),
)
