"""Which language an answer is in."""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from ._parts import own_words
from ._text import spoken, visible

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SURE, NEAR = 0.75, 3
"""From this probability on, of the three likeliest languages together, an answer in Latin letters is in another one:
neighbours such as Swedish and Danish share it. English answers of the labelled sets lie
below it in 2,548 of 2,550 cases, the two others are Polish; single words and names lie far below it."""
READ = 1000
"""Characters that are looked at."""
_ENGLISH = frozenset(
    {"en", "pcm", "zxx", "und", "sco"}
)  # Pidgin and Scots as a model would write them, and no language

_SAME = {"ms": "id", "da": "sv", "nb": "sv", "no": "sv", "nn": "sv"}
"""Languages that are taken for each other in a sentence, and have their rules together."""
NAMES = 8
"""An answer of at most so many words, each with a capital or one of `_PARTICLES`, is a name: of no language."""
_PARTICLES = frozenset(
    [
        "a", "al", "an", "and", "bin", "d", "da", "das", "de", "del", "der", "di", "do", "dos", "du", "e", "el", "en",
        "et", "für", "ibn", "in", "l", "la", "las", "le", "les", "lo", "los", "of", "on", "op",
        "st", "the", "to", "und",
        "van", "vom", "von", "y", "zu",
    ]
)  # fmt: skip
_NAME = re.compile(r"[^\W\d_](?:[\w'’.&-]*\w)?\.?")
_LETTERS = re.compile(r"[^\W\d_]")
_CODE = re.compile(r"```.*?(?:```|$)", re.DOTALL)


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_shares(text: str) -> Mapping[str, float]:
    """ISO 639 code -> probability (they add up to 1) of the languages that the first 1,000 characters may be in, by
    py3langid; nothing is taken off the text before."""
    return MappingProxyType(dict(_identifier().rank(_shown(text))))


def likeliest_language(text: str) -> tuple[str, float]:
    """The one of `language_shares` with the largest probability, and that; in half the time."""
    name, share = _identifier().classify(_shown(text))
    return str(name), float(share)


def _shown(text: str) -> str:
    return text[:READ].encode("utf-8", "replace").decode()  # half of a surrogate pair cannot be encoded


@lru_cache(maxsize=4096)
def language(answer: str) -> str:
    """ISO 639 code of the language an answer is in; `en` where nothing says that it is another, and `und` for another
    script whose language is not known. Code blocks and quotes are not looked at.

    Uses py3langid (Lui and Baldwin 2012, ACL), whose model lies in its package: nothing is downloaded.
    """
    text = "\n".join(map(own_words, spoken(_CODE.sub(" ", answer[: 2 * READ])).split("\n")))[:READ]
    letters = _LETTERS.findall(text)
    if not letters or _is_name(visible(answer)):
        return "en"
    ranked = _identifier().rank(text)
    name = str(ranked[0][0])
    if sum(letter < "\u0250" or "\u1e00" <= letter <= "\u1eff" for letter in letters) < len(letters) / 2:
        return _SAME.get(name, name) if name not in _ENGLISH else "und"
    others = sum(p for each, p in ranked[:NEAR] if each not in _ENGLISH)
    return _SAME.get(name, name) if others >= SURE and name not in _ENGLISH else "en"


def _is_name(answer: str) -> bool:
    """Whether an answer is nothing but names in Latin letters: "Angela Merkel" is no German sentence."""
    words = _NAME.findall(answer)
    capital = [word[0].isupper() and (word[0] < "\u0250" or "\u1e00" <= word[0] <= "\u1eff") for word in words]
    named = all(big or word.strip(".").lower() in _PARTICLES for big, word in zip(capital, words, strict=True))
    return 0 < len(words) <= NAMES and named and any(capital) and not re.search(r"[!?:;]", answer)
