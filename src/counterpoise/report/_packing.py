"""Which transcripts are in the page and which are in the files beside it, so that a page opens on any machine."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from counterpoise.base import atomic_write, sha256_bytes

from ._images import Images

PAGE = 8_000_000
"""Bytes that a page may have."""
PART = 4_000_000
"""Bytes of transcripts in one file beside it."""
TEXT = 0.5
"""Share of the page's room for transcripts that their text may take; the rest is for images."""


@dataclass(frozen=True)
class Packed:
    """`data` goes into the page, `parts` into files beside it."""

    data: dict[str, Any]
    parts: list[str]
    """The text of each file."""
    left_out: int
    """Images that are neither embedded nor beside the page."""
    addresses: bool
    """Whether an image is shown from its file."""


def pack(items: Sequence[dict[str, Any]], images: Images, room: int, folder: str) -> Packed:
    """At most `room` bytes of `items` and their images for the page, the other items for files in `folder`.

    Every kind of item (benchmark, modality, side, outcomes) is in the page before any kind has one more than the
    others, so what is there shows all of them. Images that have no room are addressed where the evaluation has them.
    """
    sizes = [len(as_json(item).encode()) + 12 for item in items]
    order = _balanced(items)
    chosen, spent = set(order), sum(sizes)
    if spent > TEXT * room:
        chosen, spent = set(), 0
        for place in order:
            if spent + sizes[place] <= TEXT * room:
                chosen.add(place)
                spent += sizes[place]
    shown, left_out = _embedded([items[place] for place in order if place in chosen], images, room - spent)
    rest = [place for place in range(len(items)) if place not in chosen]
    parts: list[dict[str, Any]] = []
    for places in _cut(rest, sizes):
        known, missing = _addressed([items[place] for place in places], images, shown)
        left_out |= missing
        parts.append({"items": [items[place] | {"n": place} for place in places], "images": known})
    texts = [as_json(part) for part in parts]
    key = sha256_bytes("\n".join(texts).encode())[:16]
    here = [items[place] | ({"n": place} if parts else {}) for place in sorted(chosen)]
    names = [f"{quote(folder)}/{part_name(number)}" for number in range(len(parts))]
    data = {"items": here, "images": shown, "total": len(items), "key": key, "parts": names}
    calls = [f'counterpoiseTranscripts("{key}",{number},{text});\n' for number, text in enumerate(texts)]
    every = [shown, *(part["images"] for part in parts)]
    addresses = any(not uri.startswith("data:") for each in every for uri in each.values())
    return Packed(data, calls, len(left_out), addresses)


def write_parts(parts: Sequence[str], folder: Path) -> None:
    """Write the files, and take away those of an earlier report that had more."""
    for number, text in enumerate(parts):
        with atomic_write(folder / part_name(number)) as file:
            file.write(text)
    if not folder.is_dir():
        return
    for old in folder.glob("transcripts-*.js"):
        if old.name not in {part_name(number) for number in range(len(parts))}:
            old.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def part_name(number: int) -> str:
    return f"transcripts-{number + 1:03d}.js"


def as_json(value: object) -> str:
    """JSON that cannot end its script element, whatever a model wrote, and that is JavaScript too."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _balanced(items: Sequence[dict[str, Any]]) -> list[int]:
    """Places of all items: the first of each kind, then the second of each, and so on."""
    seen: Counter[tuple[Any, ...]] = Counter()
    turns = []
    for item in items:
        kind = (item["b"], item["m"], item["h"], *item["o"])
        turns.append(seen[kind])
        seen[kind] += 1
    return sorted(range(len(items)), key=lambda place: (turns[place], place))


def _embedded(items: Sequence[dict[str, Any]], images: Images, room: int) -> tuple[dict[str, str], set[str]]:
    """Images of the page's items by hash, in their order, and those that are nowhere: thumbnails as long as there is
    room, but room for the addresses of all others is kept."""
    wanted = list(dict.fromkeys(sha for item in items for sha in item["im"]))
    found, missing = _addressed(items, images, {})
    room -= len(as_json(found).encode()) + 70 * len(missing)
    for sha in wanted:
        uri = images.thumbnail(sha)
        if uri is None:
            continue
        room -= len(uri) - len(found.get(sha, ""))
        if room < 0:  # one that is too large ends it: making all and keeping a few would take minutes
            break
        found[sha] = uri
        missing.discard(sha)
    return found, missing


def _addressed(
    items: Sequence[dict[str, Any]], images: Images, known: dict[str, str]
) -> tuple[dict[str, str], set[str]]:
    found, missing = {}, set()
    for sha in dict.fromkeys(sha for item in items for sha in item["im"] if sha not in known):
        address = images.address(sha)
        if address is None:
            missing.add(sha)
        else:
            found[sha] = quote(address)
    return found, missing


def _cut(places: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """The places in groups whose sizes stay under `PART` together."""
    groups: list[list[int]] = []
    spent = PART
    for place in places:
        if spent + sizes[place] > PART:
            groups.append([])
            spent = 0
        groups[-1].append(place)
        spent += sizes[place]
    return groups
