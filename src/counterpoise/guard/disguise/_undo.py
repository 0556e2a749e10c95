"""All disguises of a text undone, one after the other and again, and what was undone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from ._encodings import decode
from ._letters import plain_letters
from ._spelling import decoded, hidden_words, joined, likely_codes, turned, unleeted
from ._words import english_share, known_share, known_words, share_among, words_of

ROUNDS = 4
"""Disguises within disguises that are followed."""
PLAIN = 0.6
"""A passage that is English with this probability is not tried backwards or shifted."""
KNOWN = 0.6
"""With so large a share of known words it is English anyway, and the language detector need not be asked."""
LEAST = 0.4
"""So much sense, and so large a share of known words, must a reading of a passage make."""
LETTERS = 8
"""Fewer letters than this are too few to tell a reading from chance."""
LONGEST, WORD = 4000, 16
"""A longer passage, or one with words that are longer on average, is none that anybody wrote."""
_ENDS = re.compile(r"(?<=[.!?])(?=\s)|(?<=[。！？\n])")


@dataclass(frozen=True)
class Readings:
    """A text as it may be read."""

    texts: tuple[str, ...]
    """The text as it stands, and the readings of what is disguised in it; files in it are taken out."""
    undone: tuple[str, ...] = ()
    """Names of the disguises that were undone, for people."""
    lost: bool = False
    """Whether letters that stood apart make no English words."""
    files: tuple[bytes, ...] = ()
    """Files that were written into the text: what was decoded and is no text."""


@lru_cache(maxsize=1024)
def undo(text: str) -> Readings:
    """The readings of a text: one where there is nothing to undo."""
    undone: dict[str, None] = {}
    files: list[bytes] = []
    shown, found, lost = text, text, False
    for number in range(ROUNDS):
        made, names, inside, unread = _round(found)
        lost = lost or unread
        if number == 0 and inside:
            shown = decode(text).text
        undone |= dict.fromkeys(names)
        files += inside
        if made == found:
            break
        found = made
    texts = [shown] if _same(shown, found) else [shown, found]
    if "reversed letters" in undone or "reversed words" in undone:
        texts.append(" ".join(reversed(found.split())))  # words or the whole were turned around: both make sense
    words, names = hidden_words(found)
    if names:
        undone |= dict.fromkeys(names)
        texts.append(words)
    return Readings(tuple(dict.fromkeys(texts)), tuple(undone), lost, tuple(files))


def _same(a: str, b: str) -> bool:
    return a.split() == b.split()


class _Round(NamedTuple):
    text: str
    undone: tuple[str, ...]
    files: tuple[bytes, ...]
    lost: bool


def _round(text: str) -> _Round:
    letters, names = plain_letters(text)
    decoded = decode(letters)
    undone = [*names, *decoded.undone]
    made = decoded.text
    together, lost = joined(made)
    for name, other in (("letters apart", together), ("digits for letters", unleeted(together))):
        if other != made:
            undone.append(name)
            made = other
    passages = []
    for passage in passages_of(made):
        best = _best(passage)
        if best.name:
            undone.append(best.name)
        passages.append(best.text)
    return _Round("".join(passages), tuple(undone), decoded.files, lost)


def passages_of(text: str) -> list[str]:
    """Sentences and lines; put together again they are the text."""
    return [each for each in _ENDS.split(text) if each]


class _Reading(NamedTuple):
    name: str
    text: str


def _best(passage: str) -> _Reading:
    """The reading of a passage that is most likely English, the passage itself unless another makes more sense.

    Sense is the detector's probability of English and the share of known words, evenly. The detector takes most of the
    time, so that it is only asked where known words leave something to decide."""
    best = _Reading("", passage)
    words = words_of(passage)
    if sum(map(len, words)) < LETTERS or len(passage) > LONGEST or len(passage) > WORD * len(passage.split()):
        return best
    known = share_among(words, known_words())
    others = [] if known >= KNOWN else list(_others(passage, words))  # mostly none: then nothing else is asked
    if not others or (before := (english_share(passage) + known) / 2) >= PLAIN:
        return best
    most = max(LEAST, before + 0.1)
    for name, made, share in others:
        if (1 + share) / 2 > most and (sense := (english_share(made) + share) / 2) > most:
            best, most = _Reading(name, made), sense
    return best


def _others(passage: str, words: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    """Readings of a passage of such words in which enough of them are known: name, text and that share."""
    made = [("upside-down letters", turned(passage))]
    made += [(code, decoded(passage, code)) for code in likely_codes(words, LEAST)]
    for name, text in made:
        if text != passage and (share := known_share(text)) >= LEAST:
            yield name, text, share
