"""What the pocket's vision tower reads: the word of the lexicon nearest to each image token, as one line of text.

The tower was trained to turn every image token into the language model's embedding of the word (or the name of the
icon) at that place, so that no language model is needed to read a page: 3 million parameters instead of 138 million.

It names a word for every place, whatever is there. So what looks like writing (see _sight.py) counts as read only where
the tower is confident; turned by a quarter, a half or three quarters it is tried again, and a small region is enlarged.
What stays below is said to be unread.
"""

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from counterpoise.base import sha256_file
from counterpoise.chat import Image
from counterpoise.data import lexicon

from ._sight import MOST, Sight, enlarged

GRID = 7  # image tokens a side
BATCH = 32
SCALE = 30.0
"""Of the cosines in the softmax over the tower's words, as in its training."""
CONFIDENT = 0.6
"""Mean probability of the words read in writing, below which it is unread. Of Twins' upright prints 1 % lie below it
(5 % below 0.74); of prints that are turned, blurred by two pixels, or 48 pixels wide 95 % lie below 0.58."""
TURNS = (90, 180, 270)


class Reading(NamedTuple):
    """One image as the tower sees it."""

    words: str
    """The words read, in reading order; empty when nothing is printed."""
    pooled: NDArray[np.float32]
    """Mean of the image tokens (d,), for what is neither print nor an icon."""
    confidence: float = 1.0
    """Mean probability of the words read; 1 where none was read."""
    writing: bool = False
    """The words are writing, not names of drawings."""
    unread: str | None = None
    """Why something in it that looks like writing could not be read."""


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
        found: list[Reading] = []
        for start in range(0, len(images), BATCH):
            pages = [image.pil() for image in images[start : start + BATCH]]
            found += [self._judged(page, seen) for page, seen in zip(pages, self._look(pages), strict=True)]
        return found

    def _look(self, pages: Sequence[PIL.Image.Image]) -> list[Reading]:
        """One pass over pages as they are."""
        import torch

        with self._lock, torch.inference_mode():
            pixels = self.processor([[page] for page in pages], return_tensors="pt")["pixel_values"]
            states = self.connector(self.vision(pixel_values=pixels.flatten(0, 1).float()).last_hidden_state)
            p = (SCALE * torch.nn.functional.normalize(states, dim=-1) @ self.classes.T).softmax(-1)
            sure, nearest = (each.numpy() for each in p.max(-1))
            pooled = states.mean(1).numpy()
        confidence = [float(own[row > 0].mean()) if row.any() else 1.0 for own, row in zip(sure, nearest, strict=True)]
        return [Reading(_line([self.words[n] for n in row]), pooled[i], confidence[i]) for i, row in enumerate(nearest)]

    def _judged(self, page: PIL.Image.Image, seen: Reading) -> Reading:
        """The reading of a page, turned where that reads better, with its small regions; or why it is unread."""
        sight = Sight(page)
        if sight.blurred():
            return seen._replace(unread="an image is too blurred to be read")
        if sight.lost():
            return seen._replace(unread="all that is in an image is too small to be read")
        if sight.writing():
            return self._best(page, seen)._replace(writing=True)
        boxes = sight.small_regions()
        if len(boxes) > MOST:
            return seen._replace(unread=f"an image has more than {MOST} small regions that may be writing")
        for box in boxes:
            sheet = enlarged(page, box)
            part = self._best(sheet, self._look([sheet])[0])
            known = seen.words.split()
            words = " ".join([*known, *(word for word in part.words.split() if word not in known)])
            seen = seen._replace(words=words, unread=seen.unread or part.unread, writing=True)
        return seen

    def _best(self, page: PIL.Image.Image, upright: Reading) -> Reading:
        """The most confident of four directions; unread when none is confident."""
        if upright.words and upright.confidence >= CONFIDENT:
            return upright
        turned = self._look([page.rotate(turn, expand=True) for turn in TURNS])
        best = max([upright, *turned], key=lambda one: one.confidence if one.words else 0.0)
        if best.words and best.confidence >= CONFIDENT:
            return best
        reached = best.confidence if best.words else 0.0
        return best._replace(
            unread=f"what looks like writing in an image is read at a confidence of {reached:.2f}, below {CONFIDENT}"
        )


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
