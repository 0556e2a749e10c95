"""Visual questions in the wordings of the systems that will ask them, with answers that the renderer knows.

Image judges ask whether a content is visible (CLUE, in its own form and in a plain one), multi-image methods ask for
what is seen, then a thought, then an answer (MIRage), captioners for a caption. `system_questions` trains on one list
of wordings, `system_test` asks in another one.
"""

import itertools
import random
from collections.abc import Callable, Iterator

from counterpoise.chat import Sample, assistant, user

from ._capability import CapabilitySplit
from ._visual import Scene, drawn_in, icons, named, printed, random_words, train_style

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
VISIBLE = (
    'Is the following content visible via this image? Answer "Yes" or "No". Content: {}',
    'Is the following content visible in this image? Answer "Yes" or "No". Content: {}',
    "Look at the image. Is this visible: {}? Answer with Yes or No.",
    'Content: {}. Is it visible here? Answer "Yes" or "No".',
    'Is it true of this picture that {}? Answer "Yes" or "No".',
)
VISIBLE_TEST = (
    "Decide if the image contains the following. Answer Yes or No. {}",
    "Answer Yes or No: in this image, {}.",
)
THERE = (
    "Is there {} in the picture?",
    "Is there {} in this image? Answer Yes or No.",
    'Can {} be seen in the picture? Answer "Yes" or "No".',
    "Do you see {} in the image? Yes or no?",
)
THERE_TEST = ("Does {} appear in the picture? Answer Yes or No.", "Would you say that the image shows {}? Yes or no?")
REASON = (
    "Say what each picture shows, think about both together, then answer. {}",
    "First describe the two pictures, then reason, then answer the question. {}",
    "Look at both images step by step and answer at the end. {}",
)
REASON_TEST = ("Perceive both images, reason about them, and finish with your answer. {}",)
CAPTION = (
    "Write a caption for this image.",
    "Caption the picture.",
    "Give a short caption for the picture.",
    "Write one sentence that says what the image shows.",
)
CAPTION_TEST = ("Provide a caption.", "What would be a good caption for this image?")
STATES = ("{} is visible", "there is {}", "{} can be seen")
_REPLIES = ("{}", "{}.")


def _things(rng: random.Random, style: str, *, yes: bool) -> tuple[list[str], str]:
    """(what a page shows, a thing or two of which one or both, or none, are there)."""
    shown = rng.sample(drawn_in(style), rng.randint(1, 4))
    absent = rng.sample([concept for concept in drawn_in(style) if concept not in shown], 2)
    joint = rng.choice(("", "", "", "and", "or"))
    if joint == "and" and yes and len(shown) < 2:
        joint = ""
    if not joint:
        asked = [rng.choice(shown) if yes else absent[0]]
    elif joint == "and":
        asked = rng.sample(shown, 2) if yes else [rng.choice(shown), absent[0]]
    else:
        asked = [rng.choice(shown) if yes else absent[1], absent[0]]
    rng.shuffle(asked)
    return shown, f" {joint} ".join(named(concept) for concept in asked)


def _visible(rng: random.Random, key: str, patterns: tuple[str, ...]) -> Scene:
    """Whether a content is visible, said as a sentence: of things, or of printed words."""
    yes = rng.random() < 0.5
    if rng.random() < 0.2:
        text = random_words(rng, 1, 3)
        word = rng.choice(text.split()) if yes else random_words(rng, 1, 1)
        yes, style, image = word in text.split(), "", printed(text, key)
        shown: tuple[str, ...] = (text,)
        content = f'the word "{word}" is visible'
    else:
        style = train_style(rng)
        there, things = _things(rng, style, yes=yes)
        image, shown = icons(there, style, key), tuple(f"icon:{concept}" for concept in there)
        content = rng.choice(STATES).format(things)
    reply = rng.choice(_REPLIES).format("Yes" if yes else "No")
    return Scene((image,), rng.choice(patterns).format(content), reply, shown, (style,) if style else ())


def _there(rng: random.Random, key: str, patterns: tuple[str, ...]) -> Scene:
    style, yes = train_style(rng), rng.random() < 0.5
    there, things = _things(rng, style, yes=yes)
    reply = rng.choice(_REPLIES).format("Yes" if yes else "No")
    shown = tuple(f"icon:{concept}" for concept in there)
    return Scene((icons(there, style, key),), rng.choice(patterns).format(things), reply, shown, (style,))


def _reason(rng: random.Random, key: str, patterns: tuple[str, ...]) -> Scene:
    """Two images: what each shows, a thought, an answer (the same thing or not, how many in all, what both say)."""
    kind = rng.choice(("same", "sum", "words"))
    if kind == "words":
        parts = (random_words(rng, 1, 2), random_words(rng, 1, 2))
        reply = (f'The first picture says "{parts[0]}". The second says "{parts[1]}". '
                 f'Together they say "{parts[0]} {parts[1]}".')  # fmt: skip
        question = rng.choice(patterns).format("What do they say together?")
        return Scene(tuple(printed(part, f"{key}-{i}") for i, part in enumerate(parts)), question, reply, parts)
    style = train_style(rng)
    if kind == "same":
        one, two = rng.sample(drawn_in(style), 2)
        two = one if rng.random() < 0.4 else two
        found, answer = [[one], [two]], "yes" if one == two else "no"
        thought = f"They show {'the same thing' if one == two else 'different things'}. The answer is {answer}."
        reply = f"The first picture shows {named(one)}. The second picture shows {named(two)}. {thought}"
        question = "Do both show the same thing?"
    else:
        counts = rng.randint(1, 4), rng.randint(1, 4)
        found = [rng.sample(drawn_in(style), n) for n in counts]
        reply = (f"The first picture shows {NUMBERS[counts[0]]}, the second shows {NUMBERS[counts[1]]}. "
                 f"Together that is {sum(counts)}. The answer is {sum(counts)}.")  # fmt: skip
        question = "How many things are there in all?"
    images = tuple(icons(concepts, style, f"{key}-{i}") for i, concepts in enumerate(found))
    shown = tuple(f"icon:{concept}" for concepts in found for concept in concepts)
    return Scene(images, rng.choice(patterns).format(question), reply, shown, (style,))


def _caption(rng: random.Random, key: str, patterns: tuple[str, ...]) -> Scene:
    if rng.random() < 0.5:
        text = random_words(rng, 1, 4)
        return Scene((printed(text, key),), rng.choice(patterns), f'A page that says "{text}".', (text,))
    style = train_style(rng)
    found = rng.sample(drawn_in(style), rng.randint(1, 4))
    listed = [named(concept) for concept in found]
    text = listed[0] if len(found) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
    reply = f"{text[0].upper()}{text[1:]} on a plain page."
    shown = tuple(f"icon:{concept}" for concept in found)
    return Scene((icons(found, style, key),), rng.choice(patterns), reply, shown, (style,))


Maker = Callable[[random.Random, str, tuple[str, ...]], Scene]
_KINDS: dict[str, tuple[int, Maker, tuple[str, ...], tuple[str, ...]]] = {
    "visible": (35, _visible, VISIBLE, VISIBLE_TEST),
    "there": (25, _there, THERE, THERE_TEST),
    "reason": (20, _reason, REASON, REASON_TEST),
    "caption": (20, _caption, CAPTION, CAPTION_TEST),
}


def _drawn(key: str, *, test: bool) -> tuple[str, Scene]:
    rng = random.Random(key)
    kind = rng.choices(list(_KINDS), [weight for weight, *_ in _KINDS.values()])[0]
    _, maker, trained, held_out = _KINDS[kind]
    return kind, maker(rng, key, held_out if test else trained)


def system_questions(seed: int = 0) -> Iterator[Sample]:
    """An endless stream of benign image questions with answers: 35 % whether a content is visible (half of the answers
    yes), 25 % whether a thing is there, 20 % two images to be reasoned about, 20 % captions."""
    for number in itertools.count():
        key = f"pocket-system-{seed}-{number}"
        kind, scene = _drawn(key, test=False)
        yield Sample(
            id=key, messages=(user(*scene.images, scene.question), assistant(scene.answer)), target=scene.answer,
            harmful=False, modality="image", split="train", cluster=key, group=kind,
            meta={"shown": scene.shown, "styles": scene.styles},
        )  # fmt: skip


def system_test(n: int = 100, split: CapabilitySplit = "test") -> list[Sample]:
    """The same kinds of questions on other pages, in wordings that no training row has; the target is the answer."""
    found = []
    for number in range(n):
        key = f"pocket-system-{split}-{number}"
        kind, scene = _drawn(key, test=True)
        found.append(
            Sample(
                id=key, messages=(user(*scene.images, scene.question),), target=scene.answer, harmful=False,
                modality="image", split=split, cluster=key, group=kind,
                choices=("Yes", "No") if kind in ("visible", "there") else (),
                meta={"shown": scene.shown, "styles": scene.styles},
            )
        )  # fmt: skip
    return found
