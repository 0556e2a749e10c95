"""What tells a reading that makes sense from one that does not: known words, and how English a text looks."""

import re
from functools import cache, lru_cache

from counterpoise.data import lexicon, twins
from counterpoise.data.pocket_sets import phrases
from counterpoise.evals.scorers import language_shares

LISTS = ("harmful", "contrast_harmful", "lookalikes", "contrast_benign", "everyday", "questions")
_ENGLISH = ("en", "pcm", "sco")
"""English, Pidgin and Scots: the language detector takes short English for the other two."""
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
def english_share(text: str) -> float:
    """Probability that a text is English (Lui and Baldwin 2012), its capitals aside, which say nothing."""
    shares = language_shares(text.lower() if text.isupper() else text)
    return sum(shares.get(name, 0.0) for name in _ENGLISH)
