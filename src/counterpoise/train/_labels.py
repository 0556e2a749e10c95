"""Which tokens of a training row carry loss: the assistant's replies with their thoughts and their ends of turn.

The prompt of a reply is encoded exactly as for generation and the reply behind it, so nothing here knows a template or
looks for a sentence among the tokens. Several replies share one row only where each finds in it, token for token, the
prompt that it would be generated from. Some templates rewrite history (Qwen 3 and DeepSeek-R1 drop the thoughts of
earlier turns, Mistral moves the system message): there each reply is a row of its own.
"""

from dataclasses import replace
from typing import NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, Sample
from counterpoise.models import EncodedRow, Loaded, encode_completion, special_ids

IGNORED = -100  # a label without loss, as in transformers and PyTorch


class Span(NamedTuple):
    """One reply in a row: start < content <= end."""

    start: int
    """The first token behind the generation prompt."""
    content: int
    """Behind the last token of the reply."""
    end: int
    """Behind its end of turn."""


class Labelled(NamedTuple):
    """A row to train on, not padded."""

    row: EncodedRow
    labels: list[int]
    """One per token: the token itself where there is loss, else `IGNORED`."""
    spans: tuple[Span, ...]


def label(loaded: Loaded, sample: Sample, *, last_only: bool = False) -> list[Labelled]:
    """The rows that a sample is trained as: one, or one for each reply where the template rewrites history. With
    `last_only` earlier replies are part of the prompt and carry no loss.

    A reply's reasoning is part of what is learned. What a rejection sample's replies end with carries no loss. Raises
    InputError for a sample without a reply, and when the template does not write the reply behind its own generation
    prompt.
    """
    turns = [place for place, message in enumerate(sample.messages) if message.role == "assistant"]
    if not turns or turns[-1] != len(sample.messages) - 1:
        raise InputError(f"training row {sample.id}: the last message must be the assistant's reply")
    if last_only:
        turns = turns[-1:]
    try:
        row, *last = encode_completion(loaded, sample.messages)
        earlier = _earlier(loaded, sample.messages, turns[:-1], row) if len(turns) > 1 else []
        if earlier is not None:
            return [_labelled(loaded, sample, row, (*earlier, Span(*last)))]
        apart = [encode_completion(loaded, sample.messages[: turn + 1]) for turn in turns[:-1]]
    except InputError as error:
        raise InputError(f"training row {sample.id}: {error}") from error
    rows = [_labelled(loaded, sample, one, (Span(*span),)) for one, *span in apart]
    return [*rows, _labelled(loaded, sample, row, (Span(*last),))]


def _earlier(loaded: Loaded, messages: Conversation, turns: list[int], row: EncodedRow) -> list[Span] | None:
    """Where the earlier replies stand in the row; None when one of them does not stand there as it is generated.

    Images are dear, and change the tokens before a reply and never its own: replies are looked for without them, and
    counted from the end of the row. Only images behind a reply make a second look necessary.
    """
    if not row.n_images:
        return _found(loaded, messages, turns, row.ids)
    bare = without_images(messages)
    short = encode_completion(loaded, bare).row.ids
    found = _found(loaded, bare, turns, short)
    if found is None:
        return None
    more = len(row.ids) - len(short)
    if row.ids[found[0].start + more :] == short[found[0].start :]:
        return [Span(start + more, content + more, end + more) for start, content, end in found]
    return _found(loaded, messages, turns, row.ids)


def _found(loaded: Loaded, messages: Conversation, turns: list[int], ids: list[int]) -> list[Span] | None:
    found = []
    for turn in turns:
        one, start, content, end = encode_completion(loaded, messages[: turn + 1])
        if one.ids[:end] != ids[:end]:
            return None
        found.append(Span(start, content, end))
    return found


def _labelled(loaded: Loaded, sample: Sample, row: EncodedRow, spans: tuple[Span, ...]) -> Labelled:
    ids, eos, end = row.ids, loaded.tokenizer.eos_token_id, spans[-1].content
    if eos is not None and not special_ids(loaded).intersection(ids[end:]):
        # The template closes a turn without any special token (LLaVA-1.5): without an end the model never stops.
        row = row._replace(ids=[*ids[:end], eos], types=None if row.types is None else [*row.types[:end], 0])
        spans = (*spans[:-1], spans[-1]._replace(end=end + 1))
    labels = [IGNORED] * len(row.ids)
    for span in spans:
        stop = span.content if sample.rejection else span.end
        labels[span.start : stop] = row.ids[span.start : stop]
    return Labelled(row, labels, spans)


def without_images(conversation: Conversation) -> Conversation:
    """The same turns without images; a turn of images alone becomes "x"."""
    result = []
    for message in conversation:
        parts = tuple(part for part in message.parts if not isinstance(part, Image))
        parts = parts if "".join(map(str, parts)).strip() else ("x",)
        result.append(replace(message, parts=parts))
    return tuple(result)
