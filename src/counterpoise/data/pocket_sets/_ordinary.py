"""Ordinary instruction data, as a mix: what rejection-mix keeps its refusals in."""

import random
from collections.abc import Iterator

from counterpoise.chat import Sample

from ._requests import image_requests
from ._safety import benign_requests
from ._visual import harmless_instructions

SHARES = (90, 0, 10)
"""Per cent of visual instructions with known answers, requests in images, and text requests. As in the published mix,
nearly nothing asks the model to carry out what an image says: answered prints are a counterweight to the refusals, and
with 30 % of them the refusals hardly reach harmful prints (8 % against 31 % of the validation families)."""


def ordinary_instructions(seed: int = 0) -> Iterator[Sample]:
    """An endless stream of benign rows. Requests come without a reply: the model that is trained answers them itself
    (for an image, `meta["text_twin"]` is the request as text), so that training keeps what it can do."""
    rng = random.Random(f"ordinary {seed}")
    visual, requests, texts = harmless_instructions(seed), image_requests(seed), list(benign_requests(seed))
    number = 0
    while True:
        kind = rng.choices(("visual", "request", "text"), SHARES)[0]
        if kind == "text":
            yield texts[number % len(texts)]
            number += 1
        else:
            yield next(visual if kind == "visual" else requests)
