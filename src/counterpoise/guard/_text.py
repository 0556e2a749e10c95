"""Text on its way into a guard: nothing in it speaks for the template, nothing hides, and long text is split."""

from collections.abc import Sequence
from typing import Any

from counterpoise.base import InputError
from counterpoise.evals.judges import quiet

from .disguise import TAGS

OVERLAP = 256
"""Tokens that neighbouring pieces share: a sentence of up to 128 tokens stands in one piece with 64 on either side."""


def neutral(text: str, delimiters: Sequence[str] = ()) -> str:
    """`text` as data for a guard's prompt.

    Unicode tag characters, an invisible copy of ASCII that some models read, become the letters they stand for; other
    invisible characters go. Control tokens of chat templates and the `delimiters` of the guard's own template are
    broken up by a space, so that a reader still sees them and no tokenizer makes a token of them.
    """
    return quiet(text.translate(TAGS), delimiters).strip()


def windows(n: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Spans of at most `size` that cover 0..n in order, neighbours sharing at least `overlap`.

    Any span of `overlap` lies wholly in one of them. Raises InputError when `size` leaves no room to move on.
    """
    if size <= overlap:
        raise InputError(f"a piece of {size} cannot overlap the next one by {overlap}; give a larger size")
    if n <= size:
        return [(0, n)]
    starts = [*range(0, n - size, size - overlap), n - size]
    return [(start, start + size) for start in starts]


def split(tokenizer: Any, text: str, size: int, overlap: int = OVERLAP) -> list[str]:
    """`text` in overlapping pieces of at most about `size` tokens, each a part of the text as it stands.

    A piece tokenized by itself can have a token or two more than it had in the whole.
    """
    overlap = min(overlap, size // 2)
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    spans = windows(len(offsets), size, overlap)
    return [text[(offsets[a][0] if a else 0) : (offsets[b][0] if b < len(offsets) else None)] for a, b in spans]


def split_characters(text: str, size: int, overlap: int = 4 * OVERLAP) -> list[str]:
    """The same by characters, for guards behind an API whose tokens are unknown."""
    return [text[a:b] for a, b in windows(len(text), size, overlap)]
