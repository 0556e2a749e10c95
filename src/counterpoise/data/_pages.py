"""Our own pages: a printed phrase, or icons, in a random style that depends on the seed alone.

Print is set in Pillow's own font. Icons are glyphs of the font files in the package QtAwesome (Qt is never imported).
"""

import importlib.util
import json
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from counterpoise.base import InputError, MissingPackageError

from ._root import concepts

Colour = tuple[int, int, int]
SIDE = 224
SIZES = (24, 46)
_LEADING = 1.25
_SHEETS = {
    "mdi": "materialdesignicons6-webfont",
    "fa": "fontawesome6-solid-webfont",
    "ph": "phosphor",
    "ri": "remixicon",
}
_STYLES = {  # style -> (sheet, suffix of the glyph's name)
    "mdi": ("mdi", ""),
    "mdi-outline": ("mdi", "-outline"),
    "fa": ("fa", ""),
    "ph": ("ph", ""),
    "ph-bold": ("ph", "-bold"),
    "ph-fill": ("ph", "-fill"),
    "ri-fill": ("ri", "-fill"),
    "ri-line": ("ri", "-line"),
}
STYLES = tuple(_STYLES)
"""Every drawing style."""
HELD_OUT_STYLES = ("ri-fill", "ri-line")
"""The styles that appear in validation and test images only."""


@lru_cache(maxsize=256)
def face(path: Path | None, size: int) -> ImageFont.FreeTypeFont:
    """A font at a size in pixels; None is the font inside Pillow, which needs no file on the system."""
    # the basic layout engine draws the same page on machines with and without libraqm
    if path is not None:
        return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise InputError("Pillow: built without FreeType; install Pillow from its official wheels")
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


class Glyph(NamedTuple):
    """One icon as a character of a font file."""

    font: Path
    character: str


@lru_cache(maxsize=1)
def glyphs() -> dict[str, dict[str, Glyph]]:
    """Concept -> style -> glyph, for every concept that has a glyph in a style that is not held out."""
    spec = importlib.util.find_spec("qtawesome")  # finds the folder without running the package
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("icon pages need the icon fonts of QtAwesome: pip install 'QtAwesome>=1.4,<1.5'")
    folder = Path(spec.submodule_search_locations[0]) / "fonts"
    charts = {sheet: next(folder.glob(f"{stem}-charmap-*.json")) for sheet, stem in _SHEETS.items()}
    tables = {sheet: json.loads(chart.read_text(encoding="utf-8")) for sheet, chart in charts.items()}
    fonts = {
        sheet: folder / chart.name.replace("-charmap", "").replace(".json", ".ttf") for sheet, chart in charts.items()
    }
    found: dict[str, dict[str, Glyph]] = {}
    for concept in concepts():
        for style, (sheet, suffix) in _STYLES.items():
            code = tables[sheet].get(concept + suffix)
            if code is not None:
                found.setdefault(concept, {})[style] = Glyph(fonts[sheet], chr(int(code, 16)))
    return {concept: styles for concept, styles in found.items() if set(styles) - set(HELD_OUT_STYLES)}


def styles_of(concept: str, *, held_out: bool) -> tuple[str, ...]:
    """The styles in which a concept is drawn: the held-out ones, or the others. Empty when there are none."""
    return tuple(style for style in glyphs().get(concept, {}) if (style in HELD_OUT_STYLES) == held_out)


def glyph(concept: str, style: str) -> Glyph:
    """The glyph of a concept in a style. Raises InputError naming what exists."""
    styles = glyphs().get(concept)
    if styles is None:
        raise InputError(f"icon {concept!r}: no such concept; see counterpoise.data.concepts()")
    if style not in styles:
        raise InputError(f"icon {concept!r}: no style {style!r}; it has {', '.join(styles)}")
    return styles[style]


def _colours(rng: random.Random) -> tuple[Colour, Colour]:
    """(paper, ink) with strong contrast; one page in seven is dark."""
    light = (rng.randint(190, 255), rng.randint(190, 255), rng.randint(190, 255))
    dark = (rng.randint(0, 90), rng.randint(0, 90), rng.randint(0, 90))
    return (dark, light) if rng.random() < 1 / 7 else (light, dark)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str] | None:
    """Lines that fit the width, or None when a single word does not."""
    lines: list[str] = []
    for word in text.split():
        if font.getlength(word) > width:
            return None
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def print_page(text: str, *, style_seed: int | str, size: int = SIDE) -> Image.Image:
    """A `size` x `size` RGB page with `text` printed on it, all of it inside the page.

    Colours, letter size (24 to 46 px at 224 px, smaller only when the text needs it), case and position depend on
    `style_seed` alone, so that equal arguments give equal bytes. Raises InputError when the text is empty or too long.
    """
    if not text.strip():
        raise InputError("print page: empty text; give at least one word")
    rng = random.Random(f"print {style_seed}")
    paper, ink = _colours(rng)
    scale, margin = size / SIDE, round(8 * size / SIDE)
    case = rng.random()
    shown = text.upper() if case < 0.1 else text[0].upper() + text[1:] if case < 0.4 else text
    largest = rng.randint(*SIZES)
    right, down = rng.random(), rng.random()
    for points in range(largest, 11, -1):
        font = face(None, round(points * scale))
        pitch = points * scale * _LEADING
        lines = _wrap(shown, font, size - 2 * margin)
        if lines is not None and len(lines) * pitch <= size - 2 * margin:
            break
    else:
        raise InputError(f"print page: {len(text)} characters do not fit on {size} px; shorten the text")
    page = Image.new("RGB", (size, size), paper)
    draw = ImageDraw.Draw(page)
    x = margin + right * (size - 2 * margin - max(font.getlength(line) for line in lines))
    y = margin + down * (size - 2 * margin - len(lines) * pitch)
    for number, line in enumerate(lines):
        draw.text((round(x), round(y + number * pitch)), line, font=font, fill=ink)
    return page


def icon_page(concepts: Sequence[str], *, style: str, seed: int | str, size: int = SIDE) -> Image.Image:
    """A `size` x `size` RGB page with one to nine icons in one drawing style, each in a cell of its own.

    Colours, cells, icon sizes and positions depend on `seed` alone. Raises InputError for an unknown concept, a style
    in which a concept is not drawn, or a wrong number of icons.
    """
    if not 1 <= len(concepts) <= 9:
        raise InputError(f"icon page: {len(concepts)} icons; give 1 to 9")
    rng = random.Random(f"icons {seed}")
    paper, ink = _colours(rng)
    page = Image.new("RGB", (size, size), paper)
    draw = ImageDraw.Draw(page)
    side = next(n for n in (1, 2, 3) if n * n >= len(concepts))
    cell = size // side
    places = sorted(rng.sample(range(side * side), len(concepts)))
    for concept, place in zip(concepts, places, strict=True):
        row, column = divmod(place, side)
        pixels = int(cell * rng.uniform(0.6, 0.88))
        free = cell - pixels
        x, y = column * cell + rng.randint(2, free - 2), row * cell + rng.randint(2, free - 2)
        path, character = glyph(concept, style)
        left, top, right, bottom = face(path, pixels).getbbox(character)
        # some glyphs are wider than their letter size
        font = face(path, int(pixels * min(1.0, pixels / max(right - left, bottom - top))))
        left, top, right, bottom = font.getbbox(character)
        draw.text((x + (pixels - right - left) / 2, y + (pixels - bottom - top) / 2), character, font=font, fill=ink)
    return page
