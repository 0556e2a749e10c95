"""What tells a reading that makes sense from one that does not: known words, and how English a text looks."""

import re
import string
from collections.abc import Container, Mapping, Sequence, Set
from functools import cache, lru_cache

from counterpoise.data import lexicon, twins
from counterpoise.data.pocket_sets import phrases
from counterpoise.evals.scorers import language_shares, likeliest_language

LISTS = ("harmful", "contrast_harmful", "lookalikes", "contrast_benign", "everyday", "questions")
DICTIONARIES = frozenset({"ar", "de", "en", "es", "eu", "fa", "fr", "it", "lv", "nl", "pt", "ru"})
"""Languages that pyspellchecker has words of; 160,000 English ones."""
_ALSO = {"en": ("pcm", "sco")}
"""Languages that the detector takes for one: short English for Pidgin and Scots."""
ENGLISH = frozenset({"en"})
_WORD = re.compile(r"[a-z]+")
_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_ONE_LETTER = frozenset("ai")


@cache
def known_words() -> frozenset[str]:
    """Some 3,000 English words: the lexicon, our own lists of requests and Twins' training families. They decide only
    what is a word, never what is harmful."""
    texts = [*lexicon(), *(phrase for name in LISTS for phrase in phrases(name))]
    for family in twins.families("train"):
        texts += [family.harmful.text, family.benign.text, family.print_instruction, family.pair_instruction]
    found = {word for text in texts for word in words_of(text)}
    return frozenset(word for word in found if len(word) > 1 or word in _ONE_LETTER)


def dictionary(languages: Set[str]) -> Mapping[str, int]:
    """The words of these languages (those of `DICTIONARIES`), in small letters, and how often each occurs in texts.
    Read anew each time (up to 1.5 s a language): keep what is needed of it."""
    from spellchecker import SpellChecker

    words: Mapping[str, int] = SpellChecker(language=sorted(languages)).word_frequency.dictionary
    return words


@cache
def english_counts() -> Mapping[str, int]:
    """English words and how often each occurs in texts."""
    return dictionary(ENGLISH)


def words_of(text: str) -> list[str]:
    """The runs of letters from a to z, in small letters."""
    return _WORD.findall(text.translate(_SMALL))


def known_share(text: str) -> float:
    """Share of the words of a text that are known."""
    return share_among(words_of(text), known_words())


def share_among(words: Sequence[str], known: Container[str]) -> float:
    """Share of some words that are among others; 0 for no words."""
    return sum(map(known.__contains__, words)) / len(words) if words else 0.0


@lru_cache(maxsize=8192)
def share_of(text: str, languages: frozenset[str]) -> tuple[float, float, str]:
    """Probability that a text is in one of these languages (Lui and Baldwin 2012), that of the likeliest other one, and
    which that is; its capitals aside, which say nothing."""
    shares = language_shares(text.lower() if text.isupper() else text)
    taken = _taken(languages)
    other = max((name for name in shares if name not in taken), key=shares.__getitem__)
    return sum(shares.get(name, 0.0) for name in taken), shares[other], other


def surely(text: str, languages: frozenset[str], least: float) -> bool:
    """Whether the likeliest language of a text is one of these and has at least this probability. Then they have it
    together; it is found out in half the time that `share_of` takes."""
    name, share = _likeliest(text)
    return share >= least and name in _taken(languages)


@lru_cache(maxsize=8192)
def _likeliest(text: str) -> tuple[str, float]:
    return likeliest_language(text.lower() if text.isupper() else text)


@cache
def _taken(languages: Set[str]) -> tuple[str, ...]:
    return tuple(name for each in languages for name in (each, *_ALSO.get(each, ())))


def english_share(text: str) -> float:
    """Probability that a text is English."""
    return share_of(text, ENGLISH)[0]
