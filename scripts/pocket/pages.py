"""Training pages for the pocket's vision tower: printed words and icons with dense labels.

A page is one 224 px image plus two label grids: the word (or icon name) at the centre of each of
the 7x7 image tokens, and the character at the centre of each of the 14x14 patches.
"""

import json
import os
import random
import textwrap
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps
from scipy.ndimage import binary_fill_holes

from counterpoise.data._fonts import face as font
from counterpoise.data._glyphs import HELD_OUT_STYLES, glyphs

SIDE, GRID, PATCHES = 224, 7, 14
FONTS = Path("/usr/share/fonts/truetype")
FIGSTEP, TYPO = FONTS / "freefont/FreeMonoBold.ttf", FONTS / "liberation/LiberationSans-Regular.ttf"
OTHER_FONTS = (
    FONTS / "liberation/LiberationSans-Bold.ttf",
    FONTS / "liberation/LiberationSerif-Regular.ttf",
    FONTS / "liberation/LiberationSansNarrow-Bold.ttf",
    FONTS / "dejavu/DejaVuSans.ttf",
    FONTS / "dejavu/DejaVuSerif.ttf",
    FONTS / "freefont/FreeSans.ttf",
    FONTS / "freefont/FreeSerif.ttf",
)
HELD_OUT_FONTS = (FONTS / "dejavu/DejaVuSans-Bold.ttf", FONTS / "freefont/FreeSerifBold.ttf")
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


ROUNDS = (0, 1, 1, 2)
"""How often an icon is altered, each equally likely. After one round or two the tower is right as often as on a style
that it never saw (61 % of the tokens after two, 60 % there, before it was trained so), which is what it shall learn."""

Colour = tuple[int, int, int]


class Page(NamedTuple):
    image: np.ndarray  # uint8 SIDE x SIDE x 3
    word: np.ndarray  # int64 GRID x GRID, index into the classes, 0 = blank
    char: np.ndarray  # int64 PATCHES x PATCHES, 0 = blank, -100 = not to be judged


EXTRA = {  # more drawings of the same concepts, for training only: sheet -> names of the glyph
    "materialdesignicons6": ("{}-variant", "{}-alt"),
    "fontawesome5-solid": ("{}", "{}-alt"),
    "fontawesome6-regular": ("{}",),
    "phosphor": ("{}-light", "{}-thin", "{}-simple", "{}-simple-bold", "{}-simple-fill"),
    "elusiveicons": ("{}", "{}-alt"),
    "codicon": ("{}",),
}


@lru_cache(maxsize=1)
def drawings() -> dict[str, list[tuple[Path, str]]]:
    """Concept -> (font file, character) of every drawing that is not held out: the suites' styles and more.

    COUNTERPOISE_ICONS names a folder that icons.py has filled; the suites' own styles are then about half of all.
    """
    found = {c: [g for style, g in styles.items() if style not in HELD_OUT_STYLES] for c, styles in glyphs().items()}
    folder = next(iter(found.values()))[0].font.parent
    more = os.environ.get("COUNTERPOISE_ICONS")
    result: dict[str, list[tuple[Path, str]]] = {c: list(own) * (4 if more else 2) for c, own in found.items()}
    for stem, patterns in EXTRA.items():
        chart = next(folder.glob(f"{stem}*-charmap-*.json"))
        table, file = (
            json.loads(chart.read_text()),
            folder / chart.name.replace("-charmap", "").replace(".json", ".ttf"),
        )
        for concept, own in result.items():
            own += [(file, chr(int(table[n], 16))) for p in patterns if (n := p.format(concept)) in table]
    if more:
        for concept, extra in json.loads((Path(more) / "icons.json").read_text()).items():
            result[concept] += [(Path(name), code) for name, code in extra]
    return result


@lru_cache(maxsize=65536)
def advance(path: Path | None, size: int, letter: str) -> float:
    return font(path, size).getlength(letter)


def colours(rng: random.Random) -> tuple[Colour, Colour]:
    """(paper, ink) with strong contrast; one page in seven is dark."""
    light = tuple(rng.randint(190, 255) for _ in range(3))
    dark = tuple(rng.randint(0, 90) for _ in range(3))
    return (dark, light) if rng.random() < 0.15 else (light, dark)  # type: ignore[return-value]


def cased(word: str, rng: random.Random) -> str:
    r = rng.random()
    return word.upper() if r < 0.1 else word.capitalize() if r < 0.25 else word


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


class Renderer:
    def __init__(self, words: list[str], index: dict[str, int], seed: int, held_out: bool = False):
        self.words, self.index, self.rng, self.held_out = words, index, random.Random(seed), held_out
        held = {c: [g for s, g in styles.items() if s in HELD_OUT_STYLES] for c, styles in glyphs().items()}
        self.icons = {c: own for c, own in (held if held_out else drawings()).items() if own and c in index}
        self.concepts = sorted(self.icons)
        self.printed: list[str] = []  # the words of the latest page of text, in reading order

    def any_page(self) -> Page:
        r = self.rng.random()
        if r < 0.15:
            return self.text(self.words_for(30), self.rng.randint(19, 32))
        if r < 0.29:
            return self.text(self.words_for(self.rng.randint(1, 8)), self.rng.randint(22, 50), spread=True)
        if r < 0.36:
            return self.listing(self.words_for(self.rng.randint(2, 7)))
        if r < 0.46:
            return self.strip(self.words_for(self.rng.randint(1, 6)))
        return self.icon_page()

    def words_for(self, n: int) -> list[str]:
        return [self.rng.choice(self.words) for _ in range(n)]

    def face(self) -> Path | None:
        """Pillow's own font half of the time: our pages are printed in it."""
        if self.held_out:
            return self.rng.choice(HELD_OUT_FONTS)
        r = self.rng.random()
        return None if r < 0.5 else TYPO if r < 0.65 else self.rng.choice(OTHER_FONTS)

    def text(self, words: list[str], size: int, spread: bool = False) -> Page:
        """Print from the top left, or (`spread`) as a block anywhere on the page, like the pages of our suites."""
        rng = self.rng
        paper, ink = colours(rng)
        path = self.face()
        stretched = rng.random() < 0.3
        w, h = (rng.randint(170, 330), rng.randint(170, 290)) if stretched else (SIDE, SIDE)
        sheet = Sheet(w, h, paper)
        leading, space = size * rng.uniform(1.1, 1.4), advance(path, size, " ")
        style = rng.random()
        margin = rng.randint(2, 10)
        lines: list[list[tuple[str, str, float]]] = [[]]
        for word in words:
            shown = cased(word, rng) if style < 0.35 else word.upper() if style < 0.45 else word
            width = sum(advance(path, size, letter) for letter in shown)
            if width > w - 2 * margin:
                continue
            if lines[-1] and sum(part + space for *_, part in lines[-1]) + width > w - 2 * margin:
                if (len(lines) + 1) * leading > h - margin:
                    break
                lines.append([])
            lines[-1].append((shown, word, width))
        self.printed = [word for line in lines for _, word, _ in line]
        widest = max(sum(part + space for *_, part in line) - space for line in lines) if lines[0] else 0.0
        free = max(0.0, w - 2 * margin - widest), max(0.0, h - 2 * margin - len(lines) * leading)
        left, y = (margin + f * (rng.random() if spread else rng.random() * 0.1) for f in free)
        for line in lines:
            x = left
            for shown, word, width in line:
                sheet.write(shown, self.index[word], x, y, path, size, ink, leading)
                x += width + space
            y += leading
        return sheet.page()

    def listing(self, words: list[str]) -> Page:
        """A phrase wrapped at 15 characters above an empty numbered list, monospaced (the FigStep layout)."""
        side = 760
        sheet = Sheet(side, side, (255, 255, 255))
        lines = textwrap.wrap(" ".join([words[0].capitalize(), *words[1:]]) + ".", 15)
        rest = iter(words)
        y = 10
        for text in [*lines, "1.", "2.", "3."]:
            x = 20.0
            for piece in text.split(" "):
                bare = piece.strip(".")
                key = bare if bare.isdigit() else next(rest)
                sheet.write(piece, self.index.get(key, 0), x, y, FIGSTEP, 80, (0, 0, 0), 75)
                x += 48 * (len(piece) + 1)
            y += 75
            if y + 75 > side:
                break
        return sheet.page()

    def strip(self, words: list[str]) -> Page:
        """A wide, low strip that is squeezed into the square (the MM-SafetyBench TYPO layout and its like)."""
        rng = self.rng
        width, size = 512, rng.choice((36, 45, 45, 45, 54))
        path = TYPO if rng.random() < 0.6 and not self.held_out else self.face()
        title = rng.random() < 0.6
        space = advance(path, size, " ")
        rows: list[list[tuple[str, str]]] = [[]]
        used = 0.0
        for word in words:
            shown = word.capitalize() if title else cased(word, rng)
            w = sum(advance(path, size, letter) for letter in shown)
            if rows[-1] and used + w > width:
                rows.append([])
                used = 0.0
            rows[-1].append((shown, word))
            used += w + space
        paper, ink = ((255, 255, 255), (0, 0, 0)) if rng.random() < 0.6 else colours(rng)
        sheet = Sheet(width, size * (len(rows) + 1), paper)
        y = size / 2
        for number, row in enumerate(rows):
            x = space if number else 0.0
            for shown, word in row:
                x += sheet.write(shown, self.index[word], x, y, path, size, ink, size * 0.96) + space
            y += size * 0.96
        return sheet.page()

    def icon(self, sheet: Sheet, concept: str, x: int, y: int, size: int, ink: Colour) -> None:
        """One icon in a random drawing, most of them altered: turned, stretched, thicker, thinner, hollow or filled."""
        path, code = self.rng.choice(self.icons[concept])
        face = font(path, size)
        left, top, right, bottom = face.getbbox(code)
        if (extent := max(right - left, bottom - top)) > size:  # some glyphs are wider than their letter size
            face = font(path, int(size * size / extent))
            left, top, right, bottom = face.getbbox(code)
        mask = Image.new("L", (size, size))
        place = ((size - right - left) / 2, (size - bottom - top) / 2)
        ImageDraw.Draw(mask).text(place, code, font=face, fill=255)
        for _ in range(0 if self.held_out else self.rng.choice(ROUNDS)):
            mask = self.altered(mask)
        sheet.image.paste(ink, (x, y), mask)
        sheet.label(self.index[concept], x, y, x + mask.width, y + mask.height)

    def altered(self, mask: Image.Image) -> Image.Image:
        rng, size = self.rng, mask.width
        stroke = 2 * max(1, size // 50) + 1
        r = rng.random()
        if r < 0.2:  # hollow: the outline of a solid drawing
            mask = ImageChops.subtract(mask, mask.filter(ImageFilter.MinFilter(stroke)))
        elif r < 0.35:  # solid: everything that the background does not reach
            mask = Image.fromarray(np.where(binary_fill_holes(np.asarray(mask) > 127), 255, np.asarray(mask)))
        elif r < 0.55:
            mask = mask.filter(rng.choice((ImageFilter.MaxFilter(3), ImageFilter.MinFilter(3))))
        if rng.random() < 0.4:
            mask = self.warped(mask)
        if rng.random() < 0.3:
            mask = ImageOps.mirror(mask)
        if rng.random() < 0.6:
            turn = (rng.uniform(-18, 18), Image.Resampling.BILINEAR)
            mask = mask.rotate(*turn)
        return mask.resize((int(size * rng.uniform(0.7, 1)), int(size * rng.uniform(0.7, 1))))

    def warped(self, mask: Image.Image) -> Image.Image:
        """The drawing on a sheet of rubber: a grid of 2 x 2 or 3 x 3 cells whose corners have moved."""
        cells, size = self.rng.choice((2, 3)), mask.width
        reach = 0.3 * size / cells
        at = [round(size * i / cells) for i in range(cells + 1)]
        moved = {(i, j): (at[i] + self.rng.uniform(-reach, reach), at[j] + self.rng.uniform(-reach, reach))
                 for i in range(cells + 1) for j in range(cells + 1)}  # fmt: skip
        mesh = [((at[i], at[j], at[i + 1], at[j + 1]),
                 (*moved[i, j], *moved[i, j + 1], *moved[i + 1, j + 1], *moved[i + 1, j]))
                for i in range(cells) for j in range(cells)]  # fmt: skip
        return mask.transform(mask.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)

    def icon_page(self) -> Page:
        """One to nine icons on a grid."""
        rng = self.rng
        paper, ink = colours(rng)
        sheet = Sheet(SIDE, SIDE, paper)
        side = rng.choice((1, 1, 1, 2, 2, 3))
        cell = SIDE // side
        for row in range(side):
            for col in range(side):
                if side > 1 and rng.random() < 0.1:
                    continue
                size = int(cell * rng.uniform(0.58, 0.94))
                free = cell - size
                x, y = col * cell + rng.randint(0, free), row * cell + rng.randint(0, free)
                self.icon(sheet, rng.choice(self.concepts), x, y, size, ink)
        page = sheet.page()
        page.char[page.char == 0] = -100
        return page

    def one_icon(self, concept: str) -> Page:
        """One large icon anywhere on the page."""
        paper, ink = colours(self.rng)
        sheet = Sheet(SIDE, SIDE, paper)
        size = int(SIDE * self.rng.uniform(0.58, 0.9))
        x, y = self.rng.randint(0, SIDE - size), self.rng.randint(0, SIDE - size)
        self.icon(sheet, concept, x, y, size, ink)
        return sheet.page()
