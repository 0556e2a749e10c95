"""What of a text is in a language that a guard does not read: by the scripts of its letters, and by passages."""

import re
import unicodedata
from collections.abc import Iterator, Sequence, Set
from functools import lru_cache

from ._dictionary import foreign
from .disguise import known_share, share_of, surely

RARE = 0.02
"""A passage whose languages the guard reads have less than this probability together is in another one. Of 1,243
sentences of English answers (HarmBench's) none is below but Polish ones; code comes down to 0.027."""
DOUBTED, ODDS, WORDS = 0.15, 2.5, 3
"""One with less than DOUBTED is in another language if that one is ODDS times likelier, and it has so many different
words: a few Portuguese words can be English to the detector with 0.08, names of chemicals with less, but then no other
language stands out."""
_SPOKEN = frozenset(
    {
        "af", "az", "bs", "ca", "cs", "da", "de", "es", "et", "eu", "fi", "fr", "gl", "hr", "hu", "id", "it", "jv",
        "lt", "lv", "ms", "nb", "nl", "nn", "no", "pl", "pt", "ro", "sk", "sl", "so", "sq", "sr", "sv", "sw", "tl",
        "tr", "uz", "vi", "xh", "yo", "zu",
    }
)  # fmt: skip
"""Those it can be: larger languages in Latin letters. Code and chemistry look like the others, and like Latin."""
KNOWN = 0.8
"""A passage with this share of known English words is English; the language detector takes most of the time here."""
SURE = 0.98
"""From this probability on nothing else is looked for inside a long sentence."""
ENOUGH = 20
"""Letters of a passage; shorter ones are read with the next."""
LETTERS = 6
"""Letters of other scripts in one text that are one too many. A sign that stands for a syllable or a word counts three
times: two of them can be a request."""
WINDOW, STEP = 10, 5
"""Words: so much of a long sentence is looked at by itself, since another language can stand inside it."""
_SCRIPTS = {
    "am": "ETHIOPIC", "ar": "ARABIC", "be": "CYRILLIC", "bg": "CYRILLIC", "bn": "BENGALI", "el": "GREEK",
    "fa": "ARABIC", "gu": "GUJARATI", "he": "HEBREW", "hi": "DEVANAGARI", "hy": "ARMENIAN",
    "ja": "CJK HIRAGANA KATAKANA", "ka": "GEORGIAN", "kk": "CYRILLIC", "km": "KHMER", "kn": "KANNADA",
    "ko": "HANGUL CJK", "lo": "LAO",
    "mk": "CYRILLIC", "ml": "MALAYALAM", "mr": "DEVANAGARI", "ne": "DEVANAGARI", "or": "ORIYA", "pa": "GURMUKHI",
    "ru": "CYRILLIC", "si": "SINHALA", "sr": "CYRILLIC LATIN", "ta": "TAMIL", "te": "TELUGU", "th": "THAI",
    "uk": "CYRILLIC", "ur": "ARABIC", "zh": "CJK",
}  # fmt: skip
_WHOLE = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "ETHIOPIC", "YI")
_FOREIGN = re.compile(r"[^\x00-\x7f\s]{2,}|[\u2e80-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
"""With the signs that stand between letters, as the vowels of Indic scripts do."""
_ENDS = re.compile(r"(?<=[.!?;:])\s+|(?<=[。！？])|\n+")
_STOPS = re.compile(r"(?<=[.!?:])\s+|(?<=[。！？])|\n+")
"""As above but for what follows a semicolon, which in code has no signs of its own."""
_SIGNS = re.compile(r"[=(){}\[\]<>_|\\`$]|^(?: {2,}|\t)\S")
"""Of a line that may be code, in which doubt says nothing: its words are names, and half of them cut short."""
_WORDS = re.compile(r"(?<![\w/\\.@#-])[^\W\d_]+(?:['’-][^\W\d_]+)*(?![\w/\\@])")
_FREE = re.compile(r"(?<!\S)[(\[\"'“‘]?([^\W\d_]+(?:['’-][^\W\d_]+)*)[)\]\"'”’]?[.,:;!?]*(?!\S)")
LONGEST = 40
"""Letters of a word that is looked up, and remembered."""
_ANY = re.compile(r"[^\W\d_]{2,}")
SOME, MARKED = 5, 0.005
"""Different words of a line whose words have signs between them, and the probability of the guard's languages below
which it is in another. Of 76,323 such lines of Python packages and their pages 6 are below: 4 in other languages."""
_CODE = frozenset(
    {
        "args", "argv", "async", "attr", "attrs", "await", "bool", "bytes", "cls", "config", "const", "def", "dict",
        "dtype", "elif", "endif", "enum", "env", "func", "hasattr", "href", "impl", "init", "int", "isinstance",
        "kwargs", "lambda", "len", "nargs", "noqa", "npm", "null", "numpy", "obj", "params", "pprint",
        "printf", "py", "repr", "req", "self", "setattr", "sizeof", "stderr", "stdin", "stdout", "str", "struct",
        "sudo", "sys", "tmp", "tuple", "typedef", "url", "utf", "uuid", "xs", "yaml",
    }
)  # fmt: skip
"""Words of code that no larger language has: beside them a detector takes code for any language."""


def unread(text: str, languages: Set[str]) -> str | None:
    """Why a guard that reads these languages (ISO 639) cannot have read a text, or None."""
    if (script := _script(text, languages)) is not None:
        return f"letters of a script that the guard does not read ({script.title()})"
    own = frozenset(languages)
    for passage, prose in _passages(text):
        if "en" in own and known_share(passage) >= KNOWN:
            continue
        if (name := _foreign(passage, own, DOUBTED if prose else RARE)) is not None:
            return f"a passage in a language that the guard does not read ({name})"
    for line in _marked(text):
        if _mostly_known(line, own) or surely(line, own, DOUBTED):
            continue
        share, _, name = share_of(line, own)
        if share < MARKED and name in _SPOKEN:
            return f"a line in a language that the guard does not read ({name})"
    if foreign(_sentences(text), (each for each in _ANY.findall(text) if len(each) <= LONGEST), own):
        return "words of a language that the guard does not read"
    return None


def _foreign(passage: str, languages: frozenset[str], least: float) -> str | None:
    """The language of a passage, or of a window of it, that is surely none of these; where they have `least` together,
    nothing is doubted. Windows are looked at unless the passage is SURE; `surely` is asked first because it is cheaper,
    and mostly says enough."""
    words = passage.split()
    long = len(words) > WINDOW + STEP
    if surely(passage, languages, SURE if long else least):
        return None
    if (name := _other(passage, languages, least)) is not None or not long:
        return name
    if share_of(passage, languages)[0] >= SURE:
        return None
    parts = (" ".join(words[n : n + WINDOW]) for n in range(0, len(words) - STEP, STEP))
    doubted = (each for each in parts if not surely(each, languages, least))
    return next((name for each in doubted if (name := _other(each, languages, least)) is not None), None)


def _other(text: str, languages: frozenset[str], least: float) -> str | None:
    """The language that a text is in rather than in one of these, or None. Doubt is not enough where it comes from
    names: capitals, unless every word has one, as in a title."""
    share, rival, name = share_of(text, languages)
    if share < RARE:
        return name
    if not _doubted(share, rival, name, least) or _mostly_known(text, languages):
        return None
    first, *others = text.split()
    if len({first, *others}) < WORDS:
        return None
    small = [each for each in others if not each[0].isupper()]
    rest = " ".join([first, *small]) if small or len(others) < WORDS else text.lower()
    enough = sum(map(str.isalpha, rest)) >= ENOUGH // 2
    return name if enough and _doubted(*share_of(rest, languages), least) else None


def _mostly_known(text: str, languages: frozenset[str]) -> bool:
    """Whether most words of a text are English ones that are known, for a guard that reads English."""
    return "en" in languages and known_share(text) > 0.5


def _doubted(share: float, rival: float, name: str, least: float) -> bool:
    return share < least and rival >= ODDS * share and name in _SPOKEN


def mostly_foreign(texts: Sequence[str], languages: Set[str]) -> bool:
    """Whether most letters of some texts are of scripts that none of these languages is written in: then a guard's
    opinion of them is noise."""
    known = _known(languages)
    letters = [each for text in texts for each in text if each.isalpha()]
    return 2 * sum(not each.isascii() and _script_of(each) not in known for each in letters) > len(letters)


def _known(languages: Set[str]) -> set[str]:
    return {name for each in languages for name in _SCRIPTS.get(each, "LATIN").split()} | {"LATIN", "FULLWIDTH"}


def _script(text: str, languages: Set[str]) -> str | None:
    """The script that letters of the text are in, if it is none of these languages'. Single letters are symbols."""
    if text.isascii():
        return None
    known = _known(languages)
    found = 0
    for run in _FOREIGN.findall(text):
        for letter in run:
            if not letter.isascii() and (script := _script_of(letter)) not in known:
                found += 3 if script in _WHOLE else 1
                if found >= LETTERS:
                    return script
    return None


@lru_cache(maxsize=8192)
def _script_of(letter: str) -> str:
    """The first word of a letter's name in Unicode, which is its script; what is no letter of a script is Latin."""
    if not unicodedata.category(letter).startswith("L") or unicodedata.category(letter) == "Lm":
        return "LATIN"
    if unicodedata.normalize("NFKC", letter).isascii():
        return "LATIN"
    return unicodedata.name(letter, "UNNAMED").split()[0]


def _marked(text: str) -> Iterator[str]:
    """Lines whose words mostly have signs between or before them (`#voler #une #voiture`), as words. Code and addresses
    look like that too."""
    for line in text.splitlines():
        words = _ANY.findall(line)
        if len(set(words)) >= SOME and 2 * sum(map(len, _WORDS.findall(line))) < sum(map(len, words)):
            yield " ".join(words)


def _sentences(text: str) -> Iterator[list[str]]:
    """The words of sentences and lines, single letters and words of code left out; of lines with signs those words
    that stand free."""
    for sentence in _STOPS.split(text):
        shown = sentence.lower() if sentence.isupper() else sentence
        words = _FREE.findall(shown) if _SIGNS.search(shown) else _WORDS.findall(shown)
        yield [each for each in words if 1 < len(each) <= LONGEST and each not in _CODE]


def _passages(text: str) -> Iterator[tuple[str, bool]]:
    """Sentences and lines of at least ENOUGH letters, as words alone, and whether they are prose: what holds digits or
    signs is code or a name. Shorter ones are read together, and those of prose also by themselves from WORDS and half
    as many letters on, so that English around them does not hide them."""
    held: list[str] = []
    plain = True
    for sentence in _ENDS.split(text):
        words = [each for each in _WORDS.findall(sentence) if each not in _CODE]
        letters, prose = sum(map(len, words)), _SIGNS.search(sentence) is None
        several = prose and len({each for each in words if len(each) > 1}) >= WORDS
        if letters >= ENOUGH or (letters >= ENOUGH // 2 and several):
            yield " ".join(words), prose
        if letters < ENOUGH:
            held += words
            plain = plain and prose
        if sum(map(len, held)) >= ENOUGH:
            yield " ".join(held), plain
            held, plain = [], True
    if sum(map(len, held)) >= ENOUGH // 2:
        yield " ".join(held), plain
