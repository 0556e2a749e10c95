"""Our labels against the assistant masks of a chat template, where it has them."""

from collections.abc import Sequence
from dataclasses import replace

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.models import Loaded

from ._labels import label, without_images


def check_against_masks(loaded: Loaded, samples: Sequence[Sample]) -> bool:
    """Compare our labels with the assistant masks of the template, on these samples. False: the template has none.

    Samples that are trained turn by turn are left out: their template rewrites history, its mask is that of another
    text. Raises InputError when the two disagree on the tokens of a reply.
    """
    template = (loaded.processor or loaded.tokenizer).chat_template
    if not isinstance(template, str) or "{% generation" not in template.replace("{%-", "{%"):
        return False
    if not loaded.tokenizer.is_fast:
        return False  # masks need character offsets
    control = [str(token) for token in loaded.tokenizer.get_added_vocab()]
    for sample in samples:
        messages = without_images(sample.messages)
        if any(token in message.text for message in messages for token in control):
            continue  # transformers gives masks only without sanitising control tokens
        found = label(loaded, replace(sample, messages=messages))
        if len(found) > 1:
            continue
        turns = [
            {"role": m.role, "content": [{"type": "text", "text": m.text}] if loaded.processor else m.text}
            for m in messages
        ]
        # through the tokenizer, since some processors take its class for a slow one (5.23)
        out = loaded.tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        mask, theirs, (row, _, spans) = list(out["assistant_masks"]), list(out["input_ids"]), found[0]
        last = spans[-1].content
        # a processor may put a token before the text; a reply may begin with what the template would join to its own
        shift = next((n for n in (0, 1) if row.ids[n:last] == theirs[: last - n]), None)
        if shift is None:
            continue
        if not all(all(mask[span.start - shift : span.content - shift]) for span in spans):
            raise InputError(f"training row {sample.id}: the template's assistant mask does not cover the reply")
    return True
