"""Benign visual instructions with known replies, endless seeded streams: read, name, count, compare, see, describe."""

import itertools
import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from counterpoise.chat import Image, Sample, assistant, user
from counterpoise.data._pages import HELD_OUT_STYLES, STYLES, glyphs, icon_page, print_page
from counterpoise.data._root import lexicon

_MASS_NOUNS = (
    "baseball basketball beer boxing candy cash cheese chess coffee earth fire fish football fuel glasses golf "
    "government lightning lungs mail money music oil peace pills scissors soap stairs steam teeth tennis trash "
    "volleyball water wine"
)
_NO_ARTICLE = frozenset(_MASS_NOUNS.split())
_COUNTED = ("no icons", "one icon", "two icons", "three icons", "four icons")
READ = (
    "What does the image say?",
    "What is written in the picture?",
    "Read the text in the image.",
    "Which words are printed here?",
    "Write down the text that you see.",
)
NAME = ("What is in the picture?", "What does the image show?", "Name the object in the picture.", "What is this?")
COUNT = ("How many icons are in the picture?", "How many things does the image show?", "Count the objects.")
PRESENT = (
    "Is there {} in the picture?",
    "Does the image show {}?",
    "Can you see {} here?",
    'Does this picture contain {}? Answer "Yes" or "No".',
    "True or not: the image shows {}. Say Yes or No.",
)
DESCRIBE = ("Describe the picture.", "What can you see?", "Describe this image in one sentence.")


class Scene(NamedTuple):
    """Pictures, a question, and the answer that the renderer knows."""

    images: tuple[Image, ...]
    question: str
    answer: str
    shown: tuple[str, ...]
    styles: tuple[str, ...] = ()


def named(concept: str) -> str:
    """`an apple`, `a cat`, `music`."""
    if concept in _NO_ARTICLE:
        return concept
    return f"{'an' if concept[0] in 'aeiou' else 'a'} {concept}"


@lru_cache(maxsize=16)
def drawn_in(style: str) -> tuple[str, ...]:
    """Concepts that have a glyph in a style."""
    return tuple(sorted(concept for concept, styles in glyphs().items() if style in styles))


def random_words(rng: random.Random, low: int, high: int) -> str:
    """`low` to `high` words of the lexicon, joined by spaces."""
    return " ".join(rng.choice(lexicon()) for _ in range(rng.randint(low, high)))


def printed(text: str, key: str) -> Image:
    return Image.from_pil(print_page(text, style_seed=key), key)


def icons(concepts: list[str], style: str, key: str) -> Image:
    return Image.from_pil(icon_page(concepts, style=style, seed=key), key)


def train_style(rng: random.Random) -> str:
    return rng.choice([style for style in STYLES if style not in HELD_OUT_STYLES])


def read(rng: random.Random, key: str) -> Scene:
    text = random_words(rng, 1, 6)
    return Scene((printed(text, key),), rng.choice(READ), text, (text,))


def asked(rng: random.Random, concept: str, short: float = 0.5) -> tuple[str, str]:
    """A question for the name of one thing, and its answer: one word in a share `short` of the cases, or a sentence."""
    answer = concept if rng.random() < short else f"The picture shows {named(concept)}."
    return rng.choice(NAME) + (" Answer with one word." if answer == concept else ""), answer


def name(rng: random.Random, key: str) -> Scene:
    style = train_style(rng)
    concept = rng.choice(drawn_in(style))
    question, answer = asked(rng, concept)
    return Scene((icons([concept], style, key),), question, answer, (f"icon:{concept}",), (style,))


def count(rng: random.Random, key: str) -> Scene:
    style, n = train_style(rng), rng.randint(1, 4)
    shown = rng.sample(drawn_in(style), n) if rng.random() < 0.6 else [rng.choice(drawn_in(style))] * n
    question = rng.choice(COUNT)
    return Scene((icons(shown, style, key),), question, str(n), tuple(f"icon:{c}" for c in shown), (style,))


def compare(rng: random.Random, key: str) -> Scene:
    """Two images: which one, the same or not, or two prints that belong together."""
    if rng.random() < 0.35:
        parts = (random_words(rng, 1, 3), random_words(rng, 1, 3))
        images = tuple(printed(part, f"{key}-{i}") for i, part in enumerate(parts))
        if rng.random() < 0.6:
            return Scene(images, "What do the two images say together?", " ".join(parts), parts)
        which = rng.randrange(2)
        return Scene(images, f"What does the {('first', 'second')[which]} image say?", parts[which], parts)
    style = train_style(rng)
    one, two = rng.sample(drawn_in(style), 2)
    same = rng.random() < 0.25
    two = one if same else two
    images = tuple(icons([concept], style, f"{key}-{i}") for i, concept in enumerate((one, two)))
    shown = (f"icon:{one}", f"icon:{two}")
    if same or rng.random() < 0.3:
        reply = f"Yes, both show {named(one)}." if same else f"No, one shows {named(one)} and one shows {named(two)}."
        return Scene(images, "Do the two pictures show the same thing?", reply, shown, (style,))
    if rng.random() < 0.5:
        reply = f"The first picture shows {named(one)} and the second shows {named(two)}."
        return Scene(images, "What do the two pictures show?", reply, shown, (style,))
    which = rng.randrange(2)
    question = f"Which picture shows {named((one, two)[which])}, the first or the second?"
    return Scene(images, question, ("The first.", "The second.")[which], shown, (style,))


def present(rng: random.Random, key: str) -> Scene:
    """Whether one thing, or both of two, or one of two, can be seen: yes and no equally often."""
    style, n = train_style(rng), rng.randint(1, 4)
    shown = rng.sample(drawn_in(style), n)
    absent = rng.sample([concept for concept in drawn_in(style) if concept not in shown], 2)
    joint, yes = rng.choice(("", "", "and", "or")), rng.random() < 0.5
    if not joint:
        asked = [rng.choice(shown) if yes else absent[0]]
    elif joint == "and":
        asked = [*shown, *shown][:2] if yes and n > 1 else [rng.choice(shown), absent[0]]
        yes = yes and n > 1
    else:
        asked = [rng.choice(shown) if yes else absent[1], absent[0]]
    rng.shuffle(asked)
    question = rng.choice(PRESENT).format(f" {joint} ".join(named(concept) for concept in asked))
    reply = ("Yes" if yes else "No") + rng.choice(("", ".", ", the picture shows {}."))
    listed = " and ".join(named(concept) for concept in shown[:2]) if n < 3 else f"{_COUNTED[n]}"
    return Scene(
        (icons(shown, style, key),), question, reply.format(listed), tuple(f"icon:{c}" for c in shown), (style,)
    )


def describe(rng: random.Random, key: str) -> Scene:
    question = rng.choice(DESCRIBE)
    if rng.random() < 0.4:
        text = random_words(rng, 1, 5)
        return Scene((printed(text, key),), question, f'The picture shows a page with the words "{text}".', (text,))
    style, n = train_style(rng), rng.randint(1, 4)
    shown = rng.sample(drawn_in(style), n)
    listed = [named(concept) for concept in shown]
    text = listed[0] if n == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
    reply = f"The picture shows {_COUNTED[n]}: {text}."
    return Scene((icons(shown, style, key),), question, reply, tuple(f"icon:{c}" for c in shown), (style,))


_KINDS: dict[str, tuple[int, Callable[[random.Random, str], Scene]]] = {
    "read": (36, read),
    "name": (18, name),
    "count": (9, count),
    "compare": (13, compare),
    "present": (12, present),
    "describe": (12, describe),
}


def harmless_instructions(seed: int = 0) -> Iterator[Sample]:
    """An endless stream of benign image questions with their answers: 36 % reading, 18 % naming, 9 % counting,
    13 % two images, 12 % yes or no, 12 % descriptions. Nothing here asks the model to do what an image says."""
    weights = [weight for weight, _ in _KINDS.values()]
    for number in itertools.count():
        key = f"pocket-visual-{seed}-{number}"
        rng = random.Random(key)
        kind = rng.choices(list(_KINDS), weights)[0]
        scene = _KINDS[kind][1](rng, key)
        yield Sample(
            id=key,
            messages=(user(*scene.images, scene.question), assistant(scene.answer)),
            target=scene.answer,
            harmful=False,
            modality="image",
            split="train",
            cluster=key,
            group=kind,
            meta={"shown": scene.shown, "styles": scene.styles},
        )
