"""Images from text: pages of our own suites, and the typographic images of FigStep and MM-SafetyBench.

`print_page` and `icon_page` need no system font. `typo_image` and `figstep_image` need the fonts that their
benchmarks prescribe; `find_font` says where it looks and what to install.
"""

from ._pages import HELD_OUT_STYLES, SIDE, STYLES, face, glyphs, icon_page, print_page, styles_of
from ._published import figstep_image, figstep_text, find_font, sd_typo_image, typo_image, typo_lines

__all__ = [
    "HELD_OUT_STYLES",
    "SIDE",
    "STYLES",
    "face",
    "figstep_image",
    "figstep_text",
    "find_font",
    "glyphs",
    "icon_page",
    "print_page",
    "sd_typo_image",
    "styles_of",
    "typo_image",
    "typo_lines",
]
