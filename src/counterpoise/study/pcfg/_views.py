"""What a model is shown of a row, and which of its tokens count: pre-training's four views, and the two targets of
safety tuning. All of them take (B, T) tokens and give `View`s of the same shape."""

from typing import NamedTuple

import torch
from torch import Tensor

from ._operators import ID, PAD, REFUSAL, STOP
from ._rows import START, Rows

IGNORED = -100


class View(NamedTuple):
    """Inputs (B, T - 1) and the labels (B, T - 1) of the token that follows each, `IGNORED` where none counts."""

    inputs: Tensor
    labels: Tensor


class Spans(NamedTuple):
    """(B, T) where a row's tokens are text, output 1 with its stop, output 2 with its stop."""

    text: Tensor
    first: Tensor
    second: Tensor


def spans(rows: Rows) -> Spans:
    place = torch.arange(rows.tokens.shape[1])[None]
    n = torch.as_tensor(rows.length.astype("int64"))[:, None]
    text = (place >= START) & (place < START + n)
    one = START + n + 1
    first = (place >= one) & (place <= one + n)
    second = (place > one + n) & (place <= one + 2 * n + 1)
    return Spans(text, first, second)


def tokens_of(rows: Rows) -> Tensor:
    return torch.as_tensor(rows.tokens.astype("int64"))


def view(tokens: Tensor, counted: Tensor) -> View:
    """Loss on the tokens where `counted` (B, T)."""
    return View(tokens[:, :-1], torch.where(counted, tokens, IGNORED)[:, 1:])


def text_only(rows: Rows) -> View:
    at, tokens = spans(rows), tokens_of(rows)
    blank = torch.zeros_like(at.text)
    blank[:, 1:5] = True
    return view(tokens.masked_fill(blank | at.first | at.second, ID[PAD]), at.text)


def full(rows: Rows) -> View:
    at = spans(rows)
    return view(tokens_of(rows), at.text | at.first | at.second)


def first_only(rows: Rows) -> View:
    at = spans(rows)
    return view(tokens_of(rows).masked_fill(at.second, ID[PAD]), at.first)


def second_only(rows: Rows) -> View:
    """Output 2 from output 1: the text is blanked."""
    at = spans(rows)
    return view(tokens_of(rows).masked_fill(at.text, ID[PAD]), at.second)


VIEWS = (text_only, full, first_only, second_only)
"""Of pre-training, in the order of `Size.curriculum`."""


def comply(rows: Rows) -> View:
    """The true outputs; of a row that is refused from the second pair on, output 2 only."""
    at = spans(rows)
    late = torch.as_tensor(rows.refuse_from == 2)[:, None]
    return view(tokens_of(rows), at.second | (at.first & ~late))


def refuse(rows: Rows) -> View:
    """The refusal: `2a` for every letter of output 1, and no output 2.

    Of a row that is refused from the second pair on: output 1 as it is, uncounted, and `2a` for every letter of output
    2. A safe row's refusal, that of the first pair, is over-refusal.
    """
    at, tokens = spans(rows), tokens_of(rows)
    late = torch.as_tensor(rows.refuse_from == 2)[:, None]
    counted = torch.where(late, at.second, at.first)
    tokens = tokens.masked_fill(at.second & ~late, ID[PAD])
    return view(tokens.masked_fill(counted & (tokens != ID[STOP]), REFUSAL), counted)
