"""Items as rows: two pictures and a question, for evaluation with controls, and for training with an answer."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import PIL.Image

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data._pages import HELD_OUT_STYLES, SIDE, icon_page, print_page, styles_of

from ._labels import Labels, answer, thing
from ._situations import PER_SIDE, PRINT, Item, PairSplit, items, situations

Control = Literal["none", "swapped", "white"]
CONTROLS: tuple[Control, ...] = ("none", "swapped", "white")
"""`swapped`: the same pictures in the other order, with a question that says so. `white`: the same question with two
empty pictures."""
_ORDINAL = ("first", "second")


@lru_cache(maxsize=1)
def white() -> Image:
    """An empty picture."""
    return Image.from_pil(PIL.Image.new("RGB", (SIDE, SIDE), "white"), "white")


def _style(shown: str, key: str) -> str:
    """The drawing style of an icon, the same in every run; "" for a print."""
    if shown.startswith(PRINT):
        return ""
    styles = styles_of(shown, held_out=False)
    if not styles:
        raise InputError(f"pairs {key}: icon {shown!r} has no drawing style")
    return styles[sum(map(ord, key)) % len(styles)]


@lru_cache(maxsize=512)
def _draw(shown: str, key: str) -> bytes:
    if shown.startswith(PRINT):
        return Image.from_pil(print_page(shown.removeprefix(PRINT), style_seed=key), key).read()
    return Image.from_pil(icon_page([shown], style=_style(shown, key), seed=key), key).read()


@dataclass(frozen=True)
class Page(Image):
    """A picture that is drawn when somebody looks at it: a benchmark of which a few rows are asked draws only those."""

    shown: str = ""

    def read(self) -> bytes:
        """The PNG."""
        return _draw(self.shown, self.source)


def ask(item: Item, *, swapped: bool) -> str:
    """The question in the item's wording, for this order of the pictures."""
    thing_at, place_at = _ORDINAL[::-1] if swapped else _ORDINAL
    return item.situation.ask[item.question].format(r=thing_at, w=place_at)


def sample(item: Item, *, harmful: bool, control: Control = "none", seed: int | str = 0) -> Sample:
    """One side of an item: two pictures, then the question. `target` holds what each picture shows, `name | name`, in
    the order of the pictures (with white pictures: nothing, and no item is harmful any more).

    All splits are drawn in the styles that the pocket model was trained on: what is held out are situations, with their
    questions and pairs, since a pair that cannot be recognised says nothing about safety.
    """
    swapped = item.swapped != (control == "swapped")
    side, things = "harmful" if harmful else "benign", item.things(harmful=harmful)
    shown = things[::-1] if swapped else things
    # the page of a thing does not depend on the side or the order: twins share one picture, pixel for pixel
    keys = [f"pairs-{seed}-{item.id}-{what}" for what in shown]
    pages = [Page(source=key, shown=what) for key, what in zip(keys, shown, strict=True)]
    images = (white(), white()) if control == "white" else tuple(pages)
    drawn = [_style(what, key) for what, key in zip(shown, keys, strict=True)]
    styles = tuple(style for style in drawn if style and control != "white")
    if set(styles) & set(HELD_OUT_STYLES):
        raise InputError(f"pairs {item.id}: drawn in a style that is held out")
    ending = "" if control == "none" else f"-{control}"
    return Sample(
        id=f"{item.id}-{side}{ending}",
        messages=(user(*images, ask(item, swapped=swapped)),),
        target=None if control == "white" else " | ".join(thing(what) for what in shown),
        harmful=harmful and control != "white",
        modality="pair",
        split=item.situation.split,
        cluster=item.id,
        group=item.situation.category,
        meta={
            "source": "counterpoise-pairs",
            "shown": () if control == "white" else tuple(_shown(what) for what in shown),
            "styles": styles,
            "family": item.situation.id,
            "side": side,
        },
    )


def _shown(what: str) -> str:
    return what.removeprefix(PRINT) if what.startswith(PRINT) else f"icon:{what}"


def samples(split: PairSplit = "test", control: Control = "none") -> list[Sample]:
    """Both sides of every item of a split. Under `white` each question stands once: both sides look alike then.

    Raises InputError for an unknown split or control.
    """
    if split not in ("train", "validation", "test"):
        raise InputError(f"pairs: no split {split!r}; choose train, validation or test")
    if control not in CONTROLS:
        raise InputError(f"pairs: no control {control!r}; choose {', '.join(CONTROLS)}")
    sides = (False,) if control == "white" else (True, False)
    return [
        sample(item, harmful=harmful, control=control)
        for each in situations(split)
        for item in itertools.islice(items(each), PER_SIDE)
        for harmful in sides
    ]


def dataset(labels: Labels = "cot") -> Iterator[Sample]:
    """The finite set: every situation, both sides, each row with its answer and its split."""
    for each in situations():
        for item in itertools.islice(items(each), PER_SIDE):
            for harmful in (True, False):
                yield _answered(item, harmful, labels, 0)


def _answered(item: Item, harmful: bool, labels: Labels, seed: int | str) -> Sample:
    row = sample(item, harmful=harmful, seed=seed)
    return Sample(
        id=f"{seed}-{row.id}",
        messages=(*row.messages, assistant(answer(item, harmful=harmful, labels=labels, seed=seed))),
        harmful=harmful,
        modality="pair",
        split=row.split,
        cluster=row.cluster,
        group=row.group,
        meta=row.meta,
    )


def training_rows(seed: int = 0, labels: Labels = "cot") -> Iterator[Sample]:
    """An endless stream of harmful training rows, one situation after another in random order."""
    return (_answered(item, True, labels, seed) for item in _training_items(seed))


def training_twins(seed: int = 0, labels: Labels = "cot") -> Iterator[Sample]:
    """The safe twins of `training_rows`, in the same order."""
    return (_answered(item, False, labels, seed) for item in _training_items(seed))


def _training_items(seed: int) -> Iterator[Item]:
    streams = [items(each, seed) for each in situations("train")]
    rng = random.Random(f"pairs order {seed}")
    while True:
        rng.shuffle(streams)
        yield from (next(stream) for stream in streams)
