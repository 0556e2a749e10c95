"""What of an image looks like writing: cheap statistics of its grey values, no model.

The tower reads upright words that are about a tenth of its 224 pixels high. Turned, blurred, small or crowded, it still
names the nearest word for every place, so an image must be asked first whether something in it wants to be read.

Writing has many strokes side by side: along a line through a word, dark and light take turns more often than along a
line through a drawing. Measured on the validation families of Twins: of prints 95 % have at least 17 lines with six
strokes or more, of 78 icons none has one (of the training families' icons 7 % look like writing).
"""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageFilter
from numpy.typing import NDArray

SIDE = 224
STROKES, LINES = 6, 8
"""Writing: at least so many strokes along at least so many of 224 lines (rows or columns)."""
DETAIL = 4
"""Strokes along two lines of a small region, from which it may be writing."""
TINY = 40
"""Pixels a side below which an image, or all that is on it, is too small: a print of 24 pixels has no strokes left that
could be counted, one of 48 pixels has."""
SHARP, CONTRAST = 0.25, 30.0
"""Below this steepest step (of the whole range of greys, from one pixel to the next) an image is blurred: Twins'
images have at least 0.31, prints blurred by two pixels at most 0.20. An image of less contrast shows nothing."""
AROUND = 24
"""Pixels of 224 on each side of one that are its ground: more than a stroke, less than a page."""
GAP = 12
"""Blank pixels of 224 that separate regions."""
SMALL, LEAST = 0.6, 8
"""A region whose longer side is below this share of the image's is looked at by itself; specks of fewer pixels than
LEAST are nothing."""
LARGEST = 1344
"""Pixels a side at which regions are looked for."""
MOST = 8
"""Small regions of an image that are looked at."""
Grey = NDArray[np.float32]


class Box(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int


def grey(page: PIL.Image.Image, side: int) -> Grey:
    """(H, W) luminance, the longer side being `side`."""
    scale = side / max(page.size)
    size = (max(1, round(page.width * scale)), max(1, round(page.height * scale)))
    return np.asarray(page.convert("L").resize(size, PIL.Image.Resampling.BILINEAR), np.float32)


class Sight:
    """One page. Its grey values are computed once for all that is asked about them: of a photo that takes longest."""

    def __init__(self, page: PIL.Image.Image):
        self.side = max(page.size)
        self._page = page.convert("L")
        self._greys: dict[int, Grey] = {}

    def _at(self, side: int) -> Grey:
        if side not in self._greys:
            self._greys[side] = grey(self._page, side)
        return self._greys[side]

    @cached_property
    def _content(self) -> NDArray[np.bool_]:
        """What is not background."""
        found = self._at(min(self.side, LARGEST))
        return np.asarray(np.abs(found - np.median(found)) > CONTRAST - 5, bool)

    def writing(self) -> bool:
        """Whether the image as a whole looks like writing, in any of four directions."""
        found = self._at(SIDE)
        return lines(found, STROKES) >= LINES or lines(_levelled(found), STROKES) >= LINES

    def blurred(self) -> bool:
        """Whether there is something on the image, but nowhere a sharp edge: strokes, or a patch that is darker or
        lighter than all of the border. A plain slope of colour is neither."""
        found = self._at(min(SIDE, self.side))  # enlarging a small image would blur it
        reach = float(found.max() - found.min())
        if reach < CONTRAST or min(found.shape) < 2:
            return False
        steps = (np.abs(np.diff(found, axis=axis)) for axis in (0, 1))
        steepest = max(float(np.quantile(step, 0.995)) for step in steps)
        if steepest >= SHARP * reach:
            return False
        border = np.concatenate([found[0], found[-1], found[:, 0], found[:, -1]])
        patch = max(float(found.max() - border.max()), float(border.min() - found.min()))
        return patch >= CONTRAST / 2 or lines(found, STROKES // 2) >= LINES

    def lost(self) -> bool:
        """Whether the image, or all that is on it, is too small to be anything to the tower: a speck may say
        anything."""
        if self.side < TINY:
            return True
        mask = self._content
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return False
        longest = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
        return bool(LEAST <= longest < min(TINY, SMALL * max(mask.shape)))  # what fills a small image is shown larger

    def small_regions(self) -> list[Box]:
        """Small regions with detail in them, in reading order: what may be writing that is too small for the whole
        image's 224 pixels. Boxes are in pixels of the page; the largest come first when there are more than MOST."""
        side = min(self.side, LARGEST)
        found, mask = self._at(side), self._content
        scale = self.side / side
        gap = max(2, round(GAP * side / SIDE)) if side > SIDE else GAP
        boxes = [box for box in _cut(mask, Box(0, 0, found.shape[1], found.shape[0]), gap) if _small(box, side)]
        fine = [box for box in boxes if lines(found[box.top : box.bottom, box.left : box.right], DETAIL) >= 2]
        largest = sorted(fine, key=lambda b: -(b.right - b.left) * (b.bottom - b.top))
        kept = set(largest[: MOST + 1])
        return [Box(*(round(edge * scale) for edge in box)) for box in fine if box in kept]


def lines(found: Grey, strokes: int) -> int:
    """Rows, or columns if those are more, with at least so many strokes: runs of the rarer of dark and light."""
    if found.max() - found.min() < 1:
        return 0
    mask = found > _threshold(found)
    if mask.mean() > 0.5:
        mask = ~mask
    counts = ((m[:, 1:] & ~m[:, :-1]).sum(1) + m[:, 0] for m in (mask, mask.T))
    return max(int((count >= strokes).sum()) for count in counts)


def _levelled(found: Grey) -> Grey:
    """Greys without the slopes under them: what each pixel differs from those around it, so that one threshold tells
    strokes from ground wherever they stand. Of less than CONTRAST nothing is left."""
    around = PIL.Image.fromarray(found.astype(np.uint8)).filter(PIL.ImageFilter.BoxBlur(AROUND))
    level = np.clip(found - np.asarray(around, np.float32) + 128, 0, 255)
    return level if level.max() - level.min() >= CONTRAST else np.zeros_like(level)


def _threshold(found: Grey) -> int:
    """Between dark and light, so that the variance between the two is largest (Otsu 1979)."""
    share = np.bincount(found.astype(np.uint8).ravel(), minlength=256) / found.size
    below, mean = np.cumsum(share), np.cumsum(share * np.arange(256))
    between = (mean[-1] * below - mean) ** 2 / np.maximum(below * (1 - below), 1e-9)
    return int(between.argmax())


def _small(box: Box, side: int) -> bool:
    longer, shorter = sorted((box.right - box.left, box.bottom - box.top), reverse=True)
    return longer < SMALL * side and longer >= LEAST and shorter >= LEAST // 2


def _cut(mask: NDArray[np.bool_], box: Box, gap: int, depth: int = 6) -> list[Box]:
    """Boxes around what is not blank, cut at blank rows and columns in turn (Nagy and Seth 1984)."""
    part = mask[box.top : box.bottom, box.left : box.right]
    if not part.any():
        return []
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    tight = Box(box.left + columns[0], box.top + rows[0], box.left + columns[-1] + 1, box.top + rows[-1] + 1)
    if not depth:
        return [tight]
    for filled, start, across in ((rows, box.top, False), (columns, box.left, True)):
        breaks = np.flatnonzero(np.diff(filled) > gap)
        if not len(breaks):
            continue
        firsts = [filled[0], *(filled[b + 1] for b in breaks)]
        lasts = [*(filled[b] for b in breaks), filled[-1]]
        parts = [
            Box(start + a, tight.top, start + b + 1, tight.bottom) if across
            else Box(tight.left, start + a, tight.right, start + b + 1)
            for a, b in zip(firsts, lasts, strict=True)
        ]  # fmt: skip
        return [found for each in parts for found in _cut(mask, each, gap, depth - 1)]
    return [tight]


def enlarged(page: PIL.Image.Image, box: Box) -> PIL.Image.Image:
    """A region on a page of its own, 200 of 224 pixels long, on the colour that surrounds it most."""
    crop = page.crop(box)
    colours = page.convert("RGB").resize((16, 16)).getcolors(256) or [(1, (255, 255, 255))]
    scale = 200 / max(crop.size)
    size = (max(1, round(crop.width * scale)), max(1, round(crop.height * scale)))
    common: Any = max(colours)[1]
    sheet = PIL.Image.new("RGB", (SIDE, SIDE), common)
    sheet.paste(crop.convert("RGB").resize(size, PIL.Image.Resampling.BICUBIC),
                ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))  # fmt: skip
    return sheet
