"""What the pocket's vision tower reads: the word of the lexicon nearest to each image token, as one line of text.

The tower was trained to turn every image token into the language model's embedding of the word (or the name of the
icon) at that place, so that no language model is needed to read a page: 3 million parameters instead of 138 million.
"""

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import sha256_file
from counterpoise.chat import Image
from counterpoise.data import lexicon

GRID = 7  # image tokens a side
BATCH = 32


class Reading(NamedTuple):
    """One image as the tower sees it."""

    words: str
    """The words read, in reading order; empty when nothing is printed."""
    pooled: NDArray[np.float32]
    """Mean of the image tokens (d,), for what is neither print nor an icon."""


@lru_cache(maxsize=1)
def eye() -> "Eye":
    """The tower of the installed pocket, loaded once."""
    return Eye()


class Eye:
    """Vision tower and connector as trained to read, without the language model."""

    def __init__(self) -> None:
        import torch
        from safetensors import safe_open
        from safetensors.torch import load_file
        from transformers import AutoConfig, AutoTokenizer, Idefics3ImageProcessorPil
        from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector, Idefics3VisionTransformer

        from counterpoise.models.pocket import PARTS, ensure

        tower = PARTS / "tower.safetensors"
        self.revision = sha256_file(tower)[:12]
        folder = Path(ensure())
        config = AutoConfig.from_pretrained(folder)
        config.vision_config._attn_implementation = "sdpa"
        self.vision, self.connector = Idefics3VisionTransformer(config.vision_config), Idefics3Connector(config)
        state = load_file(tower)
        for name, module in (("vision", self.vision), ("connector", self.connector)):
            own = {k.removeprefix(f"{name}."): v.float() for k, v in state.items() if k.startswith(f"{name}.")}
            module.load_state_dict(own)
            module.eval()
        self.processor = Idefics3ImageProcessorPil.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        # the classes of the tower's training: blank, the words, and the digits of numbered lists
        self.words = ["", *lexicon(), "1", "2", "3"]
        texts = ["\n", *(f" {word}" for word in lexicon()), "1", "2", "3"]
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"][-1] for text in texts]
        with safe_open(folder / "model.safetensors", "pt") as file:
            table = file.get_tensor("model.text_model.embed_tokens.weight")[torch.tensor(ids)]
        self.classes = torch.nn.functional.normalize(table.float(), dim=-1)
        self._lock = threading.Lock()

    def read(self, images: Sequence[Image]) -> list[Reading]:
        """What each image says. Raises InputError for an image that cannot be decoded."""
        import torch

        found: list[Reading] = []
        for start in range(0, len(images), BATCH):
            pages = [[image.pil()] for image in images[start : start + BATCH]]
            with self._lock, torch.inference_mode():
                pixels = self.processor(pages, return_tensors="pt")["pixel_values"].flatten(0, 1).float()
                states = self.connector(self.vision(pixel_values=pixels).last_hidden_state)
                nearest = (torch.nn.functional.normalize(states, dim=-1) @ self.classes.T).argmax(-1)
            pooled = states.mean(1).numpy()
            found += [Reading(_line([self.words[n] for n in row]), pooled[i]) for i, row in enumerate(nearest.tolist())]
        return found


def _line(cells: Sequence[str]) -> str:
    """The words of a grid of cells, row by row; a word that fills several neighbouring cells, or stands alone in the
    next line, counts once."""
    words: list[str] = []
    for place, word in enumerate(cells):
        row, column = divmod(place, GRID)
        left = cells[place - 1] if column else ""
        above = cells[place - GRID] if row else ""
        if word and word not in (left, above, *words[-1:]):
            words.append(word)
    return " ".join(words)
