"""The drawings of every icon that is not held out, and how one is altered so that no two pages show the same."""

import json
import os
import random
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps
from scipy.ndimage import binary_fill_holes

from counterpoise.data.render import HELD_OUT_STYLES, glyphs

ROUNDS = (0, 1, 1, 2)
"""How often an icon is altered, each equally likely. After one round or two the tower is right as often as on a style
that it never saw (61 % of the tokens after two, 60 % there, before it was trained so), which is what it shall learn."""

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


def altered(rng: random.Random, mask: Image.Image) -> Image.Image:
    """The drawing turned, stretched, thicker, thinner, hollow, filled, or on a sheet of rubber."""
    size = mask.width
    stroke = 2 * max(1, size // 50) + 1
    r = rng.random()
    if r < 0.2:  # hollow: the outline of a solid drawing
        mask = ImageChops.subtract(mask, mask.filter(ImageFilter.MinFilter(stroke)))
    elif r < 0.35:  # solid: everything that the background does not reach
        mask = Image.fromarray(np.where(binary_fill_holes(np.asarray(mask) > 127), 255, np.asarray(mask)))
    elif r < 0.55:
        mask = mask.filter(rng.choice((ImageFilter.MaxFilter(3), ImageFilter.MinFilter(3))))
    if rng.random() < 0.4:
        mask = warped(rng, mask)
    if rng.random() < 0.3:
        mask = ImageOps.mirror(mask)
    if rng.random() < 0.6:
        turn = (rng.uniform(-18, 18), Image.Resampling.BILINEAR)
        mask = mask.rotate(*turn)
    return mask.resize((int(size * rng.uniform(0.7, 1)), int(size * rng.uniform(0.7, 1))))


def warped(rng: random.Random, mask: Image.Image) -> Image.Image:
    """The drawing on a sheet of rubber: a grid of 2 x 2 or 3 x 3 cells whose corners have moved."""
    cells, size = rng.choice((2, 3)), mask.width
    reach = 0.3 * size / cells
    at = [round(size * i / cells) for i in range(cells + 1)]
    moved = {(i, j): (at[i] + rng.uniform(-reach, reach), at[j] + rng.uniform(-reach, reach))
             for i in range(cells + 1) for j in range(cells + 1)}  # fmt: skip
    mesh = [((at[i], at[j], at[i + 1], at[j + 1]),
             (*moved[i, j], *moved[i, j + 1], *moved[i + 1, j + 1], *moved[i + 1, j]))
            for i in range(cells) for j in range(cells)]  # fmt: skip
    return mask.transform(mask.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
