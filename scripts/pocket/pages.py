"""Training pages for the pocket's vision tower: printed words and icons with dense labels.

A page is one 224 px image plus two label grids: the word (or icon name) at the centre of each of
the 7x7 image tokens, and the character at the centre of each of the 14x14 patches.
"""

import random
import textwrap
from pathlib import Path

from drawings import ROUNDS, altered, drawings
from PIL import Image, ImageDraw
from sheet import SIDE, Colour, Page, Sheet, advance

from counterpoise.data.render import HELD_OUT_STYLES, glyphs
from counterpoise.data.render import face as font

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


def colours(rng: random.Random) -> tuple[Colour, Colour]:
    """(paper, ink) with strong contrast; one page in seven is dark."""
    light = tuple(rng.randint(190, 255) for _ in range(3))
    dark = tuple(rng.randint(0, 90) for _ in range(3))
    return (dark, light) if rng.random() < 0.15 else (light, dark)  # type: ignore[return-value]


def cased(word: str, rng: random.Random) -> str:
    r = rng.random()
    return word.upper() if r < 0.1 else word.capitalize() if r < 0.25 else word


class Renderer:
    def __init__(self, words: list[str], index: dict[str, int], seed: int, held_out: bool = False):
        self.words, self.index, self.rng, self.held_out = words, index, random.Random(seed), held_out
        held = {c: [g for s, g in styles.items() if s in HELD_OUT_STYLES] for c, styles in glyphs().items()}
        self.icons = {c: own for c, own in (held if held_out else drawings()).items() if own and c in index}
        self.concepts = sorted(self.icons)
        self.rounds = ROUNDS
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
        for _ in range(0 if self.held_out else self.rng.choice(self.rounds)):
            mask = altered(self.rng, mask)
        sheet.image.paste(ink, (x, y), mask)
        sheet.label(self.index[concept], x, y, x + mask.width, y + mask.height)

    def spot(self, row: int, col: int, cell: int, largest: float) -> tuple[int, int, int]:
        """(x, y, size) of an icon anywhere in its cell of the grid; `largest` is its greatest share of the cell."""
        size = int(cell * self.rng.uniform(0.58, largest))
        free = cell - size
        return col * cell + self.rng.randint(0, free), row * cell + self.rng.randint(0, free), size

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
                x, y, size = self.spot(row, col, cell, 0.94)
                self.icon(sheet, rng.choice(self.concepts), x, y, size, ink)
        page = sheet.page()
        page.char[page.char == 0] = -100
        return page

    def few_icons(self, concepts: list[str]) -> Page:
        """One large icon anywhere on the page, or up to four in the corners, row by row."""
        paper, ink = colours(self.rng)
        sheet = Sheet(SIDE, SIDE, paper)
        cell = SIDE if len(concepts) == 1 else SIDE // 2
        for number, concept in enumerate(concepts):
            row, col = divmod(number, 2)
            self.icon(sheet, concept, *self.spot(row, col, cell, 0.9), ink)
        return sheet.page()
