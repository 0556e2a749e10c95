"""The pocket's eye as relevance scan and detector: which words of its lexicon each cell of an image shows.

Its vision tower was trained to turn every image token into the language model's input embedding of the word printed, or
of the icon drawn, at that place, by a softmax over cosines at scale 30. So P(word | cell) is what it has learned to
say, and images and texts meet in one space without a CLIP. Words outside the lexicon it does
not know.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.base import read_json, write_json
from counterpoise.chat import Image
from counterpoise.guard.own._eye import BATCH, GRID, eye

from ._scan import Calibrated, Similarities
from ._values import Box, Found

SCALE = 30.0
CALIBRATION = Path(__file__).parent / "pocket_scan.json"
"""The scan's threshold, measured on a training rendering of the icon set (scripts/guards/clue_table.py)."""
_STOP_WORDS = (
    "a an and any are as at be by close for from has have in inside is it its more next not of on one or out over same "
    "see show shown shows than that the their there together touch touches touching two under up visible with"
)
_STOP = frozenset(_STOP_WORDS.split())
Probabilities = NDArray[np.float64]


@lru_cache(maxsize=256)
def cells(image: Image) -> Probabilities:
    """P(word | cell), (cells, words): rows in reading order, columns as in `eye().words`."""
    found: Probabilities = _cells((image,))[0]
    return found


def _cells(images: Sequence[Image]) -> Probabilities:
    import torch

    seen = eye()
    found = []
    for start in range(0, len(images), BATCH):
        pages = [[image.pil()] for image in images[start : start + BATCH]]
        with torch.inference_mode():
            pixels = seen.processor(pages, return_tensors="pt")["pixel_values"].flatten(0, 1).float()
            states = seen.connector(seen.vision(pixel_values=pixels).last_hidden_state)
            cosine = torch.nn.functional.normalize(states, dim=-1) @ seen.classes.T
            found.append((SCALE * cosine).softmax(-1).double().numpy())
    return np.concatenate(found)


def known_words(text: str) -> list[str]:
    """The words of a text that the eye can recognise, without those that carry no object, and their singulars."""
    known = set(eye().words[1:])
    words: list[str] = []
    for word in re.findall(r"[a-z]+", text.lower()):
        if word in _STOP:
            continue
        forms = (word, word.removesuffix("s"), word.removesuffix("es"))
        words += [form for form in forms if form in known and form not in _STOP]
    return list(dict.fromkeys(words))


class PocketEncoder:
    """Similarity of an image and a rule: the largest P(word | cell) over the image's cells and the rule's known words.

    NaN (always judged) for a rule without a word that the eye knows.
    """

    @property
    def id(self) -> str:
        return f"pocket-eye@{eye().revision}"

    @property
    def threshold(self) -> float | None:
        """As calibrated for this very tower; None for another one."""
        value = read_json(CALIBRATION) if CALIBRATION.is_file() else {}
        return float(value["threshold"]) if value.get("encoder") == self.id else None

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> Similarities:
        place = {word: n for n, word in enumerate(eye().words)}
        columns = [[place[word] for word in known_words(text)] for text in texts]
        highest = _cells(images).max(axis=1) if images else np.zeros((0, len(place)))
        found = np.full((len(images), len(texts)), np.nan)
        for n, own in enumerate(columns):
            if own:
                found[:, n] = highest[:, own].max(axis=1)
        return found


def save_calibration(encoder: PocketEncoder, found: Calibrated, file: Path = CALIBRATION) -> None:
    """Keep the threshold of the installed tower."""
    write_json(file, {"encoder": encoder.id, **found._asdict()})


class PocketDetector:
    """Boxes of words: the cells around the surest one that show the same word, in pixels of the image."""

    @property
    def id(self) -> str:
        return f"pocket-eye@{eye().revision}"

    def find(self, image: Image, words: Sequence[str]) -> list[Found | None]:
        page = cells(image)
        place: dict[str, int] = {word: n for n, word in enumerate(eye().words)}
        found: list[Found | None] = []
        for word in words:
            own = [place[known] for known in known_words(word)]
            found.append(region(page[:, own].max(axis=1), image.pil().size) if own else None)
        return found


def region(shown: Probabilities, size: tuple[int, int]) -> Found:
    """Box and confidence of one word from P(word | cell) (cells,): the surest cell, and the cells connected to it (also
    at corners) in which the word is at least a tenth as likely. `size` is (width, height)."""
    grid = shown.reshape(GRID, GRID)
    start = tuple(int(n) for n in np.unravel_index(int(grid.argmax()), grid.shape))
    strong = grid >= grid[start] / 10
    members, edge = {start}, [start]
    while edge:
        row, column = edge.pop()
        around = [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        new = [c for c in around if 0 <= c[0] < GRID and 0 <= c[1] < GRID and strong[c] and c not in members]
        members.update(new)
        edge += new
    rows, columns = [row for row, _ in members], [column for _, column in members]
    width, height = size
    box = Box(
        min(columns) * width // GRID,
        min(rows) * height // GRID,
        -(-(max(columns) + 1) * width // GRID),
        -(-(max(rows) + 1) * height // GRID),
    )
    return Found(box, float(grid[start]))
