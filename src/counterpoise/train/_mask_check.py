"""Our labels against the assistant masks of a chat template, where it has them."""

from collections.abc import Sequence

from counterpoise.base import InputError
from counterpoise.chat import Sample
from counterpoise.models import Loaded

from ._labels import spans, without_images


def check_against_masks(loaded: Loaded, samples: Sequence[Sample]) -> bool:
    """Compare our spans with the assistant masks of the template, on these samples. False: the template has none.

    Raises InputError when they disagree on the tokens of a reply.
    """
    template = (loaded.processor or loaded.tokenizer).chat_template
    if not isinstance(template, str) or "{% generation" not in template.replace("{%-", "{%"):
        return False
    if not loaded.tokenizer.is_fast:
        return False  # masks need character offsets
    plain = [without_images(sample.messages) for sample in samples]
    control = [str(token) for token in loaded.tokenizer.get_added_vocab()]
    for sample, messages, found in zip(samples, plain, spans(loaded, samples), strict=True):
        if any(token in message.text for message in messages for token in control):
            continue  # transformers gives masks only without sanitising control tokens
        turns = [
            {"role": m.role, "content": [{"type": "text", "text": m.text}] if loaded.processor else m.text}
            for m in messages
        ]
        # through the tokenizer, since some processors take its class for a slow one (5.23)
        out = loaded.tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        mask = list(out["assistant_masks"])
        n = len(mask)
        if not all(all(mask[n - span.start : n - span.content]) for span in found):
            raise InputError(f"training row {sample.id}: the template's assistant mask does not cover the reply")
    return True
