"""Long texts in overlapping windows, so that nothing is clipped and nothing hides at a border."""

import re

from .._text import windows as spans_of
from ..disguise import english_share
from ._minilm import MiniLM

WINDOW, OVERLAP = 124, 64
"""Word pieces. Whatever is at most 60 pieces long lies whole in some window, with at least 64 pieces around it; two
windows together fit the embedding."""
_ENDS = re.compile(r"(?<=[.!?])\s+|\n+")
_MARKS = re.compile(r"\[(CLS|SEP|PAD|UNK|MASK)\]")
_LONG = re.compile(r"\S{40,}")
UNREADABLE = 0.5
PIECES, DOUBT, LEAST = 1 / 3, 0.3, 8
"""99 % of XSTest's prompts have a smaller share of pieces within words. Names and rare words can have more, so that
English must be unlikely as well; in a text of fewer word pieces the share says little."""


def plain(text: str) -> str:
    """The text without what the tokenizer would take for its own marks, and with very long words broken up, which
    would otherwise be one unknown piece each: content could hide in them."""
    text = _MARKS.sub(r"\1", text.replace("\0", " "))
    return _LONG.sub(lambda match: " ".join(re.findall(".{1,40}", match[0])), text)


def windows(text: str, model: MiniLM) -> list[str]:
    """The plain text itself when it is short; otherwise pieces that cover every character. Empty text gives none."""
    text = plain(text)
    if not text.strip():
        return []
    ids, spans = model.tokens(text)
    if len(ids) <= WINDOW:
        return [text]
    found = []
    for start, stop in spans_of(len(ids), WINDOW, OVERLAP):
        first = spans[start][0] if start else 0
        last = spans[stop - 1][1] if stop < len(ids) else len(text)
        found.append(text[first:last])
    return found


def sentences(text: str, model: MiniLM) -> list[str]:
    """The sentences and lines of a text that has several; the longest are cut into windows."""
    found = [each for each in _ENDS.split(plain(text)) if any(map(str.isalnum, each))]
    return list(dict.fromkeys(part for each in found for part in windows(each, model))) if len(found) > 1 else []


def unreadable(text: str, model: MiniLM) -> bool:
    """Whether most pieces of a text are unknown to the embedding: another script, or noise."""
    ids, _ = model.tokens(plain(text))
    return bool(ids) and sum(number == model.unknown for number in ids) > UNREADABLE * len(ids)


def in_pieces(text: str, model: MiniLM) -> bool:
    """Whether more of some window than of nearly all English consists of pieces within words, and English is not likely
    either: a language that shares our letters, or a code."""
    return any(
        _pieces_share(each, model) > PIECES and english_share(each) < DOUBT
        for each in (sentences(text, model) or windows(text, model))
    )


def _pieces_share(text: str, model: MiniLM) -> float:
    """Share of the word pieces that continue a word; 0 for a text that is too short to tell."""
    ids, _ = model.tokens(text)
    return sum(number in model.continuing for number in ids) / len(ids) if len(ids) >= LEAST else 0.0
