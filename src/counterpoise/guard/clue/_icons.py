"""The icon set: pages of harmless icons that violate the icon constitution, each with a borderline twin that does not.

Labels are known by construction: a precondition holds when its central words are among the icons drawn.
"""

import random
from collections.abc import Collection, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import PIL.Image

from counterpoise.base import InputError, atomic_write, check_writable, load_yaml
from counterpoise.chat import Image
from counterpoise.data import concepts
from counterpoise.data.render import icon_page, print_page, styles_of

from ._constitution import Constitution, Rule, parse_constitution, read_central
from ._measure import LABELS, LabelledImage

LOOKALIKES = {
    "flame": ("fire", "explosion", "fuel", "hotspot", "volcano", "candle"),
    "newspaper": ("file", "paper", "card", "ticket"),
    "book": ("file", "folder", "film"),
    "phone": ("radio", "calculator"),
    "shower": ("bath",),
    "laptop": ("computer", "keyboard"),
    "database": ("server", "barrel", "battery"),
    "dog": ("paw", "bug", "horse"),
    "cat": ("paw", "bug", "horse"),
    "lock": ("safe",),
    "house": ("home", "bank", "castle", "factory"),
    "lightning": ("battery", "plug"),
    "tree": ("plant", "clover", "leaf"),
}
"""Concept -> others whose icons can be taken for it: never drawn as its substitute or beside it."""


class Page(NamedTuple):
    """Icons on one page and which rules they violate."""

    icons: tuple[str, ...]
    style: str
    seed: str
    violated: tuple[str, ...]
    pair: str

    def image(self) -> Image:
        return Image.from_pil(icon_page(self.icons, style=self.style, seed=self.seed), f"{self.pair} {self.icons}")

    def labelled(self) -> LabelledImage:
        return LabelledImage(self.image(), frozenset(self.violated), self.pair)


def icon_constitution() -> Constitution:
    """The rules of the icon set, written by hand."""
    text = files("counterpoise.guard.clue").joinpath("icons.yaml").read_text(encoding="utf-8")
    return parse_constitution(load_yaml(text, "icons.yaml"), "icons.yaml")


def holds(rule: Rule, shown: Collection[str]) -> bool:
    """Whether a page with these icons violates a rule: every precondition, by its central words."""
    return all(any(_visible(rule, g, m, shown) for m in range(len(texts))) for g, texts in enumerate(rule.groups))


def _visible(rule: Rule, group: int, member: int, shown: Collection[str]) -> bool:
    central = rule.central_of(group, member)
    if central is None:
        raise InputError(f"rule {rule.id}: precondition {rule.groups[group][member]!r} has no central words")
    return (all if central.joint == "and" else any)(word in shown for word in central.words)


def icon_set(seed: int | str, per_rule: int = 3, constitution: Constitution | None = None) -> list[Page]:
    """`per_rule` pairs for every rule: a page that violates it, and the same with one icon replaced, which is safe.

    Pairs share style, places, colours and the other icons; none to two further icons stand on both. Equal seeds give
    equal pages.
    """
    rules = (constitution or icon_constitution()).rules
    named = {word for rule in rules for text in rule.central if (c := read_central(text)) for word in c.words}
    spare = sorted(set(concepts()) - named)
    pages: list[Page] = []
    for rule in rules:
        for number in range(per_rule):
            pages += _pair(rule, rules, spare, f"{seed}-{rule.id}-{number}")
    return pages


def _pair(rule: Rule, rules: Sequence[Rule], spare: Sequence[str], key: str) -> list[Page]:
    rng = random.Random(f"clue icons {key}")
    for _ in range(1000):
        needed = [_words(rule, g, rng) for g in range(len(rule.groups))]
        icons = list(dict.fromkeys(word for words in needed for word in words))
        others = rng.sample(spare, rng.randint(0, min(2, 4 - len(icons))))
        swap = rng.choice(icons)
        instead = rng.choice(spare)
        full = [*icons, *others]
        rng.shuffle(full)
        twin = [instead if icon == swap else icon for icon in full]
        near = {like for icon in icons for like in LOOKALIKES.get(icon, ())}
        drawn = [set(styles_of(icon, held_out=False)) for icon in (*full, instead)]
        styles = sorted(set.intersection(*drawn))
        if instead in full or near & {*others, instead} or not styles:
            continue
        style = rng.choice(styles)
        made = []
        for shown in (full, twin):
            violated = tuple(r.id for r in rules if holds(r, shown))
            made.append(Page(tuple(shown), style, key, violated, key))
        if made[0].violated == (rule.id,) and not made[1].violated:
            return made
    raise InputError(f"rule {rule.id}: no page of icons could be made; are its central words names of icons?")


def _words(rule: Rule, group: int, rng: random.Random) -> tuple[str, ...]:
    """Icons that satisfy one precondition: of one member of the group, all words of an `and`, one of an `or`."""
    central = rule.central_of(group, rng.randrange(len(rule.groups[group])))
    if central is None:
        raise InputError(f"rule {rule.id}: a precondition has no central words")
    return central.words if central.joint == "and" else (rng.choice(central.words),)


def with_print(page: Page, text: str) -> Image:
    """The page with a printed line below it, as somebody writes who wants to talk to the judge."""
    side = 224
    strip = print_page(text, style_seed=page.seed, size=side).crop((0, 0, side, side))
    made = PIL.Image.new("RGB", (side, side), "white")
    made.paste(page.image().pil().resize((side, 3 * side // 4)), (0, 0))
    made.paste(strip.resize((side, side - 3 * side // 4)), (0, 3 * side // 4))
    return Image.from_pil(made, f"{page.pair} with {text!r}")


def write_icons(folder: Path, seed: int | str, per_rule: int = 3) -> int:
    """Images and `labels.jsonl` of the icon set in a folder, the labels last. Returns the number of images.

    Raises InputError where the folder holds files already, or cannot be written.
    """
    import json

    check_writable(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files already; name another folder")
    pages = icon_set(seed, per_rule)
    lines = []
    for number, page in enumerate(pages):
        name = f"{number:04d}.png"
        with atomic_write(folder / name, "wb") as file:
            file.write(page.image().read())
        lines.append({"image": name, "rules_violated": list(page.violated), "group": page.pair})
    with atomic_write(folder / LABELS) as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return len(pages)
