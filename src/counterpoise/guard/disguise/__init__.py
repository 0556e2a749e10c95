"""Disguises of a text undone, so that a guard reads what a model would make out of it.

Look-alike and invisible letters, letters spelled apart, reversed, exchanged for digits or shifted, and encodings. What
is undone is a reading besides the text as it stands; guards look at both, and the worse verdict stands.
"""

from ._letters import TAGS, plain_letters
from ._undo import Readings, undo
from ._words import DICTIONARIES, ENGLISH, dictionary, english_share, known_share, known_words, share_of, surely

__all__ = [
    "DICTIONARIES",
    "ENGLISH",
    "TAGS",
    "Readings",
    "dictionary",
    "english_share",
    "known_share",
    "known_words",
    "plain_letters",
    "share_of",
    "surely",
    "undo",
]
