"""What tells a reading that makes sense from one that does not: known words, and how English a text looks."""

import re
from functools import cache, lru_cache

from counterpoise.data import lexicon, twins
from counterpoise.data.pocket_sets import phrases
from counterpoise.evals.scorers import language_shares

LISTS = ("harmful", "contrast_harmful", "lookalikes", "contrast_benign", "everyday", "questions")
_ALSO = {"en": ("pcm", "sco")}
"""Languages that the detector takes for one: short English for Pidgin and Scots."""
ENGLISH = frozenset({"en"})
_WORD = re.compile(r"[a-z]+")
_ONE_LETTER = frozenset("ai")


@cache
def known_words() -> frozenset[str]:
    """Some 3,000 English words: the lexicon, our own lists of requests and Twins' training families. They decide only
    what is a word, never what is harmful."""
    texts = [*lexicon(), *(phrase for name in LISTS for phrase in phrases(name))]
    for family in twins.families("train"):
        texts += [family.harmful.text, family.benign.text, family.print_instruction, family.pair_instruction]
    found = {word for text in texts for word in _WORD.findall(text.lower())}
    return frozenset(word for word in found if len(word) > 1 or word in _ONE_LETTER)


def known_share(text: str) -> float:
    """Share of the words of a text that are known."""
    words = _WORD.findall(text.lower())
    return sum(word in known_words() for word in words) / len(words) if words else 0.0


@lru_cache(maxsize=8192)
def share_of(text: str, languages: frozenset[str]) -> tuple[float, str]:
    """Probability that a text is in one of these languages (Lui and Baldwin 2012), and its likeliest language; its
    capitals aside, which say nothing."""
    shares = language_shares(text.lower() if text.isupper() else text)
    names = [name for each in languages for name in (each, *_ALSO.get(each, ()))]
    return sum(shares.get(name, 0.0) for name in names), max(shares, key=shares.__getitem__)


def english_share(text: str) -> float:
    """Probability that a text is English."""
    return share_of(text, ENGLISH)[0]
