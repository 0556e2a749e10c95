"""The typographic images of FigStep and MM-SafetyBench, drawn from their text by the published rules.

Their fonts are prescribed, and found by name among the fonts of the user, the system and matplotlib.
"""

import os
import sys
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from counterpoise.base import InputError

from ._pages import face

TYPO_FONT, TYPO_WIDTH, TYPO_SIZE = "LiberationSans-Regular", 1024, 90
FIGSTEP_FONT, FIGSTEP_SIDE, FIGSTEP_SIZE, FIGSTEP_ADVANCE, FIGSTEP_PITCH = "FreeMonoBold", 760, 80, 48, 75
_EM = 2048  # units per em of Liberation Sans: at this size advances are whole numbers, free of hinting
_TYPO_PROBE, _TYPO_ADVANCE = "Hello world", 10130
_TYPO_KERN = 152  # units by which V moves towards A
_PACKAGES = {  # file stem -> Debian package that brings it
    "LiberationSans-Regular": "fonts-liberation",
    "FreeMonoBold": "fonts-freefont-ttf",
}
_SYSTEM = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("/Library/Fonts"),
    Path("C:/Windows/Fonts"),
)


def _folders() -> list[Path]:
    """Where fonts may lie, in the order in which they are searched: the user's own folder first."""
    own = os.environ.get("COUNTERPOISE_FONTS")
    site = [Path(entry) / "matplotlib/mpl-data/fonts/ttf" for entry in sys.path if entry.endswith("site-packages")]
    return [*([Path(own)] if own else []), Path.home() / ".fonts", Path.home() / ".local/share/fonts", *_SYSTEM, *site]


def find_font(name: str) -> Path:
    """The file `<name>.ttf` (or .otf, any case) in COUNTERPOISE_FONTS, the user's, the system's or matplotlib's fonts.

    Raises InputError with one line that says which Debian package brings the font.
    """
    wanted = {f"{name}{suffix}".lower() for suffix in (".ttf", ".otf")}
    for folder in _folders():
        for root, _, files in os.walk(folder):
            for file in sorted(files):
                if file.lower() in wanted:
                    return Path(root, file)
    package = _PACKAGES.get(name)
    how = f"apt-get install {package}, or " if package else ""
    raise InputError(f"font {name}: not found; {how}put {name}.ttf into a folder named by COUNTERPOISE_FONTS")


def _checked(name: str, size: int, probe: str, width: int) -> ImageFont.FreeTypeFont:
    """A font whose metrics are the benchmark's: a substitute would change every line break without a word."""
    path: Path = find_font(name)
    font = face(path, size)
    if abs(font.getlength(probe) - width) > 0.5:
        raise InputError(
            f"font {path}: {probe!r} is {font.getlength(probe):.1f} px wide at {size} px, expected {width}; "
            f"it is not {name}"
        )
    return font


def _kerned(font: ImageFont.FreeTypeFont, text: str) -> float:
    """Width in px at 90 px, kerning included (without it two of the 1,680 phrases break elsewhere).

    Pillow's basic layout applies only 1/64 of the kerning (seen in 13.0), and libraqm, which applies all of it, is not
    everywhere; so the applied share is measured on the pair AV, and the rest is added.
    """

    def tightened(part: str) -> tuple[float, float]:
        plain = sum(font.getlength(character) for character in part)
        return plain, plain - font.getlength(part)

    plain, applied = tightened(text)
    return (plain - applied * _TYPO_KERN / tightened("AV")[1]) * TYPO_SIZE / _EM


def typo_lines(key_phrase: str) -> list[str]:
    """Line breaks of a MM-SafetyBench key phrase at 1,024 px; every line but the first begins with a space.

    The running width adds up the parts and starts at the first word, as published (Liu et al., arXiv 2311.17600).
    """
    font = _checked(TYPO_FONT, _EM, _TYPO_PROBE, _TYPO_ADVANCE)
    words = key_phrase.split(" ")
    lines, width = [words[0]], _kerned(font, words[0])
    for word in words[1:]:
        step = _kerned(font, f" {word}")
        if width + step < TYPO_WIDTH:
            lines[-1] += f" {word}"
            width += step
        else:
            lines.append(f" {word}")
            width = step
    return lines


def typo_image(key_phrase: str) -> Image.Image:
    """The TYPO picture of MM-SafetyBench: black on white, 1,024 px wide, 90 x (lines + 1) px high.

    Liberation Sans stands for Arial: equal widths, so equal line breaks. A word wider than the canvas is cut at the
    right, as in the original. Raises InputError when the phrase is empty or the font is missing.
    """
    if not key_phrase.strip():
        raise InputError("TYPO image: empty key phrase; give at least one word")
    lines = typo_lines(key_phrase)
    image = Image.new("RGB", (TYPO_WIDTH, TYPO_SIZE * (len(lines) + 1)), (255, 255, 255))
    font = face(find_font(TYPO_FONT), TYPO_SIZE)
    ImageDraw.Draw(image).multiline_text((0, 45), "\n".join(lines), font=font, fill=(0, 0, 0))
    return image


def sd_typo_image(photo: Image.Image, key_phrase: str) -> Image.Image:
    """The SD_TYPO picture: the photo above its TYPO picture; a photo below 1,024 px leaves a black strip beside it."""
    below = typo_image(key_phrase)
    image = Image.new("RGB", (max(photo.width, below.width), photo.height + below.height))
    image.paste(photo, (0, 0))
    image.paste(below, (0, photo.height))
    return image


def figstep_text(instruction: str) -> str:
    """The instruction wrapped at 15 characters above the empty list 1. 2. 3. (each with its trailing space)."""
    return textwrap.fill(instruction.removesuffix("\n"), width=15) + "\n1. \n2. \n3. "


def figstep_image(instruction: str, *, whole: bool = False) -> Image.Image:
    """The FigStep picture of an instruction: FreeMonoBold 80 px on 760 x 760 white (Gong et al., arXiv 2311.05608).

    Ten lines fit. The published images of longer instructions lose list numbers at the bottom; `whole=True` makes the
    canvas as high as its lines instead. Raises InputError when the instruction is empty or the font is missing.
    """
    if not instruction.strip():
        raise InputError("FigStep image: empty instruction; give at least one word")
    font = _checked(FIGSTEP_FONT, FIGSTEP_SIZE, "m", FIGSTEP_ADVANCE)
    text = figstep_text(instruction)
    height = max(FIGSTEP_SIDE, FIGSTEP_PITCH * (text.count("\n") + 1) + 10) if whole else FIGSTEP_SIDE
    image = Image.new("RGB", (FIGSTEP_SIDE, height), (255, 255, 255))
    ImageDraw.Draw(image).text((20, 10), text, font=font, fill=(0, 0, 0), spacing=11)
    return image
