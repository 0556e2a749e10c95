"""One page as a canvas that knows what is where: the label grids of the tower's training."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from counterpoise.data.render import face as font

SIDE, GRID, PATCHES = 224, 7, 14
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
Colour = tuple[int, int, int]


class Page(NamedTuple):
    image: np.ndarray  # uint8 SIDE x SIDE x 3
    word: np.ndarray  # int64 GRID x GRID, index into the classes, 0 = blank
    char: np.ndarray  # int64 PATCHES x PATCHES, 0 = blank, -100 = not to be judged


@lru_cache(maxsize=65536)
def advance(path: Path | None, size: int, letter: str) -> float:
    return font(path, size).getlength(letter)


class Sheet:
    """A canvas of any size whose labels are kept in the coordinates of the 224 px square it is squeezed into."""

    def __init__(self, width: int, height: int, paper: Colour):
        self.image = Image.new("RGB", (width, height), paper)
        self.draw = ImageDraw.Draw(self.image)
        self.owner = np.full((GRID, GRID), -1, np.int64)  # index into boxes
        self.boxes: list[tuple[int, float, float, float, float]] = []  # class, x0, y0, x1, y1
        self.char = np.zeros((PATCHES, PATCHES), np.int64)
        cell_w, cell_h = width / GRID, height / GRID
        self.token_x = (np.arange(GRID) + 0.5) * cell_w
        self.token_y = (np.arange(GRID) + 0.5) * cell_h
        self.patch_x = (np.arange(PATCHES) + 0.5) * cell_w / 2
        self.patch_y = (np.arange(PATCHES) + 0.5) * cell_h / 2

    def label(self, index: int, x0: float, y0: float, x1: float, y1: float) -> None:
        rows = (self.token_y >= y0) & (self.token_y < y1)
        cols = (self.token_x >= x0) & (self.token_x < x1)
        self.owner[np.ix_(rows, cols)] = len(self.boxes)
        self.boxes.append((index, x0, y0, x1, y1))

    def words(self) -> np.ndarray:
        """Class per token: the word at its centre; a word that no centre hits takes a token from a wide neighbour."""
        half_w, half_h = self.token_x[0], self.token_y[0]
        count = np.bincount(self.owner[self.owner >= 0], minlength=len(self.boxes))
        for number in np.flatnonzero(count == 0):
            _, x0, y0, x1, y1 = self.boxes[number]
            wide = np.minimum(self.token_x + half_w, x1) - np.maximum(self.token_x - half_w, x0)
            high = np.minimum(self.token_y + half_h, y1) - np.maximum(self.token_y - half_h, y0)
            area = np.clip(high, 0, None)[:, None] * np.clip(wide, 0, None)[None, :]
            area[(self.owner >= 0) & (count[self.owner] < 2)] = 0  # a neighbour keeps its last token
            row, col = divmod(int(area.argmax()), GRID)
            if area[row, col] > 0.25 * min((x1 - x0) * (y1 - y0), 4 * half_w * half_h):
                count[number] = 1
                if self.owner[row, col] >= 0:
                    count[self.owner[row, col]] -= 1
                self.owner[row, col] = number
        classes = np.array([*(box[0] for box in self.boxes), 0])
        return classes[self.owner]

    def write(
        self, text: str, index: int, x: float, y: float, path: Path | None, size: int, ink: Colour, line: float
    ) -> float:
        """Draw one word; label its tokens and patches; return its width."""
        self.draw.text((x, y), text, font=font(path, size), fill=ink)
        edges = np.cumsum([advance(path, size, letter) for letter in text])
        width, space = float(edges[-1]), advance(path, size, " ")
        self.label(index, x - space / 2, y, x + width + space / 2, y + line)
        rows = np.flatnonzero((self.patch_y >= y) & (self.patch_y < y + line))
        for col in np.flatnonzero((self.patch_x >= x) & (self.patch_x < x + width)):
            letter = text[int(np.searchsorted(edges, self.patch_x[col] - x, side="right"))].lower()
            self.char[rows, col] = CHARACTERS.find(letter) + 1
        return width

    def page(self) -> Page:
        image = self.image
        if image.size != (SIDE, SIDE):
            image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        return Page(np.asarray(image), self.words(), self.char)
