"""A conversation that ends in a reply -> the prompt's ids, exactly as for generation, then the ids of the reply."""

from typing import NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Conversation

from ._encoding import EncodedRow, encode_text
from ._loaded import Loaded
from ._template import Traits, render, traits, with_thought
from ._tokens import continuation, mark, special_ids, tokenize, unmarked


class Completion(NamedTuple):
    """One row and the places of its reply: start < content <= end <= len(row.ids)."""

    row: EncodedRow
    start: int
    """Behind the generation prompt: the first token that the model itself would write, of its thought or its reply."""
    content: int
    """Behind the last token of the reply."""
    end: int
    """Behind the end of turn; white space behind that (ChatML writes a newline) is never sampled."""


def encode_completion(loaded: Loaded, conversation: Conversation) -> Completion:
    """The ids that `encode_row` gives to the conversation up to its last message, then those of that reply.

    Where a generation prompt opens a thought, the reply's reasoning (or nothing) and the closing marker come first.
    Raises InputError when the template does not write the reply as it is behind its own generation prompt, or the reply
    has reasoning and the model no place for it.
    """
    known = traits(loaded)
    prompt, body, closing = _texts(loaded, known, conversation)
    images = [image for message in conversation for image in message.images]
    said = continuation(loaded, prompt, body, known.control)
    if not closing or known.control.match(closing):  # a token ends what stands before it
        behind = known.closing_ids if closing == known.closing else tokenize(loaded, closing, begin=False)
        more, content = [*said, *behind], len(said)
    else:
        more = continuation(loaded, prompt, body + closing, known.control)
        content = next((i for i, (a, b) in enumerate(zip(said, more, strict=False)) if a != b), len(said))
        content += content < len(said)  # the token with the end of the reply and the beginning of what follows it
    row = encode_text(loaded, prompt, images, more)
    start = len(row.ids) - len(more)
    return Completion(row, start, start + content, start + _end(loaded, known, more, content))


def _texts(loaded: Loaded, known: Traits, conversation: Conversation) -> tuple[str, str, str]:
    """Generation prompt, reply with its thought, and what the template writes behind it."""
    reply = with_thought(known, conversation[-1])
    prompt, whole = render(loaded, conversation[:-1], True), render(loaded, conversation, False)
    control = known.forbidden(reply)
    behind = _behind(known, prompt, whole, mark(reply.reasoning, control))
    wanted, thought = (_squeeze(unmarked(text)) for text in (reply.text, reply.reasoning))
    closing = known.closing if behind.endswith(known.closing) else ""
    body, said = behind.removesuffix(closing), mark(reply.text, control).strip()
    if said in body and not _squeeze(unmarked(body)).endswith(wanted):
        # a template that ends turns with a thought in another way
        body = body[: body.rfind(said) + len(said)]
        closing = behind[len(body) :]
    if not _squeeze(unmarked(body)).endswith(wanted):
        raise InputError(f"{loaded.name}: its chat template writes no reply behind its own generation prompt")
    if thought not in _squeeze(unmarked(body)).removesuffix(wanted):
        raise InputError(f"{loaded.name}: its chat template has no place for a reply's reasoning; leave it out")
    return prompt, body, closing


def _behind(known: Traits, prompt: str, whole: str, reasoning: str) -> str:
    """What follows the generation prompt, from the text of the whole conversation; `reasoning` is marked."""
    if whole.startswith(prompt):
        return whole[len(prompt) :]
    base, kind, closed = _thought_of_the_prompt(known, prompt)
    if known.markers is not None and kind is not None and whole.startswith(base):
        # The prompt opens a thought, or writes an empty one, where the template leaves it out behind a prompt.
        opening, closing = known.markers.pair(kind)
        behind = whole[len(base) :]
        if behind.startswith(opening) and closing in behind:
            behind = behind.partition(closing)[2].lstrip("\n")
        return behind if closed else known.markers.written(reasoning, kind, opened=True) + behind
    agreed = len(prompt.rstrip())
    return whole[agreed:].lstrip() if whole.startswith(prompt[:agreed]) else ""


def _thought_of_the_prompt(known: Traits, prompt: str) -> tuple[str, int | None, bool]:
    """A generation prompt without the thought at its very end, the kind of that thought, and whether it is closed (and
    then empty). None: it ends with no thought."""
    for kind in range(len(known.markers.opening) if known.markers else 0):
        assert known.markers is not None
        opening, closing = known.markers.pair(kind)
        base, found, after = prompt.rpartition(opening)
        if found and not after.replace(closing, "", 1).strip():
            return base, kind, bool(after.strip())
    return prompt, None, False


def _end(loaded: Loaded, known: Traits, ids: list[int], content: int) -> int:
    """Behind the first special tokens that follow the reply; without any, behind the last visible token."""
    special = special_ids(loaded)
    end = next((place for place in range(content, len(ids)) if ids[place] in special), None)
    if end is None:
        seen = [i + 1 for i in range(content, len(ids)) if loaded.tokenizer.decode([ids[i]]).strip()]
        return seen[-1] if seen else content
    while end + 1 < len(ids) and ids[end + 1] in known.ends:
        end += 1
    return end + 1


def _squeeze(text: str) -> str:
    return "".join(text.split())
