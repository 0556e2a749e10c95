"""Reader of quadruples: a safe and an unsafe image, a safe and an unsafe text that describe them (SafeGround, ViSU).

A folder with `quadruples.jsonl`, one object a line: `id`, `safe_image`, `unsafe_image` (paths inside the folder),
`safe_text`, `unsafe_text`, and `tag`, the concept, which may be left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, read_jsonl
from counterpoise.chat import Image

FILE = "quadruples.jsonl"
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
_FIELDS = ("id", "safe_image", "unsafe_image", "safe_text", "unsafe_text")


@dataclass(frozen=True)
class Quadruple:
    """Two images and two texts about the same scene, once safe and once unsafe."""

    id: str
    safe_image: Image
    unsafe_image: Image
    safe_text: str
    unsafe_text: str
    tag: str = ""


def read_quadruples(folder: str | Path) -> Iterator[Quadruple]:
    """Stream the quadruples of a folder; images are opened when they are used.

    An empty text is passed on: ViSU has one (id 109551), and who embeds it decides. Raises InputError with file, row
    and field for a folder without `quadruples.jsonl`, a field that is missing or no text, an id that occurs twice, an
    image that is not there or lies outside the folder, and a file without rows.
    """
    root = Path(folder).expanduser()
    file = root / FILE
    if not file.is_file():
        raise InputError(f"{root}: has no {FILE}; a line holds {', '.join(_FIELDS)} and, if you like, tag")
    inside, seen = root.resolve(), set()
    for number, row in read_jsonl(file):
        made = _quadruple(row, file, number, inside)
        if made.id in seen:
            raise InputError.at(file, f"{made.id!r} occurs twice", row=number, field="id")
        seen.add(made.id)
        yield made
    if not seen:
        raise InputError(f"{file}: has no rows")


def _quadruple(row: dict[str, Any], file: Path, number: int, root: Path) -> Quadruple:
    def text(field: str) -> str:
        value = row.get(field)
        if field == "id" and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            what = "is missing" if value is None else f"is {type(value).__name__}"
            raise InputError.at(file, f"{what}; expected text", row=number, field=field)
        return value

    def image(field: str) -> Image:
        place = (root / text(field)).resolve()
        if not place.is_relative_to(root):
            raise InputError.at(file, f"{row[field]!r} lies outside the folder", row=number, field=field)
        try:
            return Image.from_path(place)
        except InputError as error:
            raise InputError.at(file, str(error), row=number, field=field) from error

    if not text("id").strip():
        raise InputError.at(file, "is empty", row=number, field="id")
    tag = row.get("tag")
    return Quadruple(
        text("id"), image("safe_image"), image("unsafe_image"), text("safe_text"), text("unsafe_text"),
        tag if isinstance(tag, str) else "",
    )  # fmt: skip


def image_classes(folder: str | Path) -> dict[str, list[Image]]:
    """Images by class from a folder with one folder for each class, as torchvision's ImageFolder reads it.

    Raises InputError for fewer than two classes and for a class without images.
    """
    root = Path(folder).expanduser()
    found = {
        place.name: [Image.from_path(file) for file in sorted(place.iterdir()) if file.suffix.lower() in IMAGES]
        for place in sorted(root.iterdir() if root.is_dir() else ())
        if place.is_dir()
    }
    if len(found) < 2:
        raise InputError(f"{root}: {len(found)} classes; expected a folder with one folder of images per class")
    for name, images in found.items():
        if not images:
            raise InputError(f"{root / name}: no images ({', '.join(IMAGES)})")
    return found
