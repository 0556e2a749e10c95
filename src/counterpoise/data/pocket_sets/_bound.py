"""Benign requests in images with their text twins: what binding an image to its text is trained on.

Rows are like those of `image_requests`, but drawn for variety: thousands of phrases instead of hundreds, pairs of
words and an icon, and questions about every icon, those of harmful requests included ("What should I do if I find a
gun?"), so that a picture's object is bound and not only harmless objects. Nothing of a held-out family is in it and no
harmful request: phrases are written benign, or made of a verb and an object that no harmful list knows.
"""

import itertools
import random
from collections.abc import Iterator
from functools import lru_cache

from counterpoise.chat import Image, Sample, user
from counterpoise.data._leakage import normalise
from counterpoise.data.twins import families

from ._requests import ABOUT, FOLLOW, JOIN, benign_phrases
from ._texts import phrases, readable, sentences
from ._visual import drawn_in, icons, named, printed, train_style

KINDS = {"print": 56, "picture": 34, "pair": 10}
"""Per cent of the rows."""
WORDINGS = 2
"""Sentences of a phrase's twin: an image says what is asked, not in which of many wordings."""
THING = "the thing in the picture"
QUESTIONS = (
    "What should I do if I find {}?",
    "Who invented {}?",
    "What is {} made of?",
    "How do I explain {} to a child?",
    "Write a poem about {}.",
    "What is the history of {}?",
    "Which museum shows {}?",
    "How do I take a good photo of {}?",
    "Tell me a joke about {}.",
    "What is the word for {} in French?",
    "How do I paint {} with water colours?",
    "How can I keep {} away from small children?",
    "What does {} mean in a dream?",
    "Name a film with {} in it.",
    "How heavy is {}?",
    "What colour is {}?",
    "How do I make {} out of paper?",
    "Which animals are afraid of {}?",
    "How do I write a school report about {}?",
    "Where do people usually see {}?",
    "What is the opposite of {}?",
    "How do I knit {}?",
)
"""Benign whatever thing they are asked of, a gun and a bomb included."""
_DETERMINERS = ("a", "an", "the", "my")
_LITTLE = frozenset(
    normalise(
        "a an the my and or of in on at to for from with by as into about without over up out off that this it me i"
    ).split()
)


def _contents(texts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(word for text in texts for word in normalise(text).split()) - _LITTLE


@lru_cache(maxsize=1)
def _harmful() -> tuple[str, ...]:
    """Every harmful phrase of the training lists."""
    own = tuple(family.harmful.phrase for family in families("train"))
    return (*own, *phrases("harmful"), *phrases("contrast_harmful"))


@lru_cache(maxsize=1)
def _written() -> tuple[str, ...]:
    """Benign phrases as they stand in the lists, of two to six words that the pocket can read."""
    listed = [*benign_phrases(), *phrases("contrast_benign")]
    return tuple(phrase for phrase in dict.fromkeys(listed) if readable(phrase) and 2 <= len(phrase.split()) <= 6)


def _crossed(written: tuple[str, ...]) -> Iterator[str]:
    """A verb of one benign phrase with the object of another, where neither touches a harmful list."""
    split = [phrase.split(" ", 1) for phrase in written]
    whole = [(verb, rest) for verb, rest in split if rest.split()[0] in _DETERMINERS]
    verbs = sorted({verb for verb, _ in whole} - {phrase.split()[0] for phrase in _harmful()})
    known = _contents(_harmful())
    objects = sorted({rest for _, rest in whole if not _contents((rest,)) & known and len(rest.split()) <= 4})
    for verb, rest in itertools.product(verbs, objects):
        yield f"{verb} {rest}"


@lru_cache(maxsize=4)
def bound_phrases(crossed: int = 1500) -> tuple[str, ...]:
    """All benign phrases of the lists and `crossed` made ones, none that holds a phrase of a held-out family."""
    held_out = [
        normalise(side.phrase)
        for split in ("validation", "test")
        for family in families(split)
        for side in (family.harmful, family.benign)
    ]
    written = _written()
    made = [phrase for phrase in _crossed(written) if phrase not in set(written)]
    random.Random("crossed").shuffle(made)
    found = dict.fromkeys([*written, *made[:crossed]])
    return tuple(phrase for phrase in found if not any(f" {h} " in f" {normalise(phrase)} " for h in held_out))


@lru_cache(maxsize=1)
def _written_and_free() -> tuple[str, ...]:
    """Written phrases without those that touch a held-out family."""
    written = frozenset(_written())
    return tuple(phrase for phrase in bound_phrases() if phrase in written)


def phrase_twins(phrase: str) -> tuple[str, ...]:
    """The phrase as text, in `WORDINGS` sentences, the same ones wherever the phrase is shown."""
    return tuple(sentences(phrase, WORDINGS, random.Random(f"twins of {phrase}")))


def _phrase(rng: random.Random) -> str:
    """One that was written in two of three cases: these share words and objects with harmful requests."""
    return rng.choice(_written_and_free() if rng.random() < 0.67 else bound_phrases())


def _print(rng: random.Random, key: str) -> Sample:
    phrase = _phrase(rng)
    return _row(key, "print", (printed(phrase, key),), rng.choice(FOLLOW), (phrase,), phrase_twins(phrase))


def _pair(rng: random.Random, key: str) -> Sample:
    """A phrase over two images: words and words, or words and an icon where its last word is one."""
    if rng.random() < 0.5:
        style = train_style(rng)
        phrase = rng.choice(_drawable(style))
        words = phrase.split()
        shown: tuple[str, ...] = (" ".join(words[:-1]), f"icon:{words[-1]}")
        images = (printed(shown[0], f"{key}-0"), icons([words[-1]], style, f"{key}-1"))
        return _row(key, "pair", images, rng.choice(JOIN), shown, phrase_twins(phrase), (style,))
    phrase = _phrase(rng)
    words = phrase.split()
    cut = rng.randint(1, len(words) - 1)
    shown = (" ".join(words[:cut]), " ".join(words[cut:]))
    images = (printed(shown[0], f"{key}-0"), printed(shown[1], f"{key}-1"))
    return _row(key, "pair", images, rng.choice(JOIN), shown, phrase_twins(phrase))


@lru_cache(maxsize=16)
def _drawable(style: str) -> tuple[str, ...]:
    """Phrases whose last word is a concept of the style."""
    drawn = set(drawn_in(style))
    return tuple(p for p in bound_phrases() if p.split()[-1] in drawn)


def _picture(rng: random.Random, key: str) -> Sample:
    """A question about one icon, or the benign picture of a train family."""
    own = [f for f in families("train") if THING in f.benign.picture_text]
    style = train_style(rng)
    if rng.random() < 0.25:
        side = rng.choice([f.benign for f in own if f.benign.icon in drawn_in(style)])
        concept, question = side.icon, side.picture_text
        twin = question.replace(THING, named(concept))
    else:
        concept = rng.choice(drawn_in(style))
        pattern = rng.choice([*(twin for _, twin in ABOUT), *QUESTIONS])
        question, twin = pattern.format(THING), pattern.format(named(concept))
    return _row(key, "picture", (icons([concept], style, key),), question, (f"icon:{concept}",), (twin,), (style,))


def _row(
    key: str, kind: str, images: tuple[Image, ...], question: str, shown: tuple[str, ...], twins: tuple[str, ...],
    styles: tuple[str, ...] = (),
) -> Sample:  # fmt: skip
    meta = {"shown": shown, "styles": styles, "text_twin": twins[0], "text_twins": twins}
    return Sample(
        id=key, messages=(user(*images, question),), harmful=False, modality="image", split="train",
        cluster=" ".join(shown), group=kind, meta=meta,
    )  # fmt: skip


def bound_requests(seed: int = 0) -> Iterator[Sample]:
    """An endless stream of benign requests in images, without a reply: 56 % prints, 34 % pictures, 10 % pairs.

    `meta["text_twins"]` is the same request as text, in one wording or several; `meta["text_twin"]` is the first.
    """
    makers = {"print": _print, "picture": _picture, "pair": _pair}
    for number in itertools.count():
        key = f"pocket-bound-{seed}-{number}"
        rng = random.Random(key)
        yield makers[rng.choices(list(KINDS), list(KINDS.values()))[0]](rng, key)
