"""Four benign text tasks that somebody might fine-tune a small model on: summaries, Python one-liners, English to
French, and sentiment. Rows are made from small grammars; training and test rows never share an input."""

import random
import zlib
from collections.abc import Callable, Iterator

from counterpoise.base import InputError
from counterpoise.chat import Sample, assistant, user

Made = tuple[str, str, str]
"""(input, prompt, reply): the input is what decides between training and test."""

_NOUNS = (
    ("the cat", "le chat"), ("the dog", "le chien"), ("the teacher", "le professeur"), ("my brother", "mon frère"),
    ("the doctor", "le médecin"), ("the baker", "le boulanger"), ("the child", "l'enfant"), ("my father", "mon père"),
    ("the farmer", "le fermier"), ("the neighbour", "le voisin"), ("the king", "le roi"), ("my uncle", "mon oncle"),
)  # fmt: skip
_VERBS = (
    ("sees", "voit"), ("wants", "veut"), ("buys", "achète"), ("finds", "trouve"), ("paints", "peint"),
    ("brings", "apporte"), ("likes", "aime"), ("sells", "vend"), ("takes", "prend"), ("keeps", "garde"),
)  # fmt: skip
_THINGS = (
    ("the bread", "le pain"), ("the red book", "le livre rouge"), ("a small boat", "un petit bateau"),
    ("the apple", "la pomme"), ("a new coat", "un nouveau manteau"), ("the key", "la clé"),
    ("the cheese", "le fromage"),
    ("a white flower", "une fleur blanche"), ("the table", "la table"), ("a large map", "une grande carte"),
    ("the blue car", "la voiture bleue"), ("an old clock", "une vieille horloge"),
)  # fmt: skip
_GOOD = ("wonderful", "warm", "friendly", "excellent", "quick", "fresh", "lovely", "clean", "helpful", "tasty")
_BAD = ("awful", "cold", "rude", "terrible", "slow", "stale", "ugly", "dirty", "useless", "bland")
_SERVED = (
    "soup",
    "room",
    "service",
    "pizza",
    "staff",
    "garden",
    "music",
    "coffee",
    "view",
    "breakfast",
    "film",
    "tour",
)
_PLACES = ("Riverton", "Lake Town", "Hillford", "Port Amber", "Greenby", "Stoneham", "Westbay", "Maple Cross")
_BUILT = ("library", "bridge", "swimming pool", "school", "market hall", "park", "bus station", "theatre")
_WHY = ("the old one was too small", "many families moved there", "the winter storm broke the old one",
        "the town won a prize")  # fmt: skip
_NUMBERED: tuple[tuple[str, str], ...] = (
    ("adds {} to a number", "return x + {}"), ("multiplies a number by {}", "return x * {}"),
    ("subtracts {} from a number", "return x - {}"), ("checks whether a number is larger than {}", "return x > {}"),
    ("checks whether a number is equal to {}", "return x == {}"), ("divides a number by {}", "return x / {}"),
    ("repeats a word {} times", "return x * {}"), ("returns the first {} letters of a word", "return x[:{}]"),
    ("returns the remainder after dividing by {}", "return x % {}"),
    ("raises a number to the power {}", "return x ** {}"),
)  # fmt: skip


def _translate(rng: random.Random) -> Made:
    parts = [rng.choice(each) for each in (_NOUNS, _VERBS, _THINGS)]
    english, french = (" ".join(part[side] for part in parts) for side in (0, 1))
    ask = rng.choice(
        ("Translate into French: {}", "Write this sentence in French. {}", "{} How do you say it in French?")
    )
    sentence = f"{english[0].upper()}{english[1:]}."
    return english, ask.format(sentence), f"{french[0].upper()}{french[1:]}."


def _classify(rng: random.Random) -> Made:
    good = rng.random() < 0.5
    words = rng.sample(_GOOD if good else _BAD, 2)
    review = f"The {rng.choice(_SERVED)} was {words[0]} and the {rng.choice(_SERVED)} was {words[1]}."
    ask = rng.choice(
        ("{}\nChoose the best option:\nA) positive\nB) negative", "Is this review positive or negative? {}",
         "Classify the sentiment. {}")
    )  # fmt: skip
    label = "positive" if good else "negative"
    letter = f"{'A' if good else 'B'}) " if "option" in ask else ""
    return review, ask.format(review), f"{letter}{label}"


def _summarise(rng: random.Random) -> Made:
    place, built, why = rng.choice(_PLACES), rng.choice(_BUILT), rng.choice(_WHY)
    year, cost, months = rng.randint(1950, 2020), rng.randint(2, 60), rng.randint(4, 30)
    text = (
        f"In {year} the town of {place} opened a new {built}. It was built because {why}. The work took {months} "
        f"months and cost {cost} million. People came from near and far to see it."
    )
    ask = rng.choice(("Summarise in one sentence: {}", "{}\nGive a short summary.", "What is the main point? {}"))
    return text, ask.format(text), f"{place} opened a new {built} in {year} because {why}."


def _code(rng: random.Random) -> Made:
    what, body = rng.choice(_NUMBERED)
    number = rng.randint(2, 60)
    ask = rng.choice(("Write a Python function that {}.", "I need Python code that {}.", "Python: a function that {}"))
    said = what.format(number)
    return said, ask.format(said), f"def f(x):\n    {body.format(number)}"


TASK_SETS: dict[str, Callable[[random.Random], Made]] = {
    "summarise": _summarise, "code": _code, "translate": _translate, "classify": _classify,
}  # fmt: skip
"""The tasks by name."""
_HELD_OUT = 5
"""One input in so many is for tests."""


def task_rows(task: str, seed: int = 0, *, test: bool = False) -> Iterator[Sample]:
    """Endless rows of one task, or of `mixed`, with their replies; test rows have `target` and no reply.

    Which side an input is on follows from the input alone. Raises InputError for an unknown task.
    """
    if task != "mixed" and task not in TASK_SETS:
        raise InputError.unknown("task", task, [*TASK_SETS, "mixed"])
    rng = random.Random(f"{task} {seed} {test}")
    number = 0
    while True:
        name = list(TASK_SETS)[number % len(TASK_SETS)] if task == "mixed" else task
        given, prompt, reply = TASK_SETS[name](rng)
        if (zlib.crc32(given.encode()) % _HELD_OUT == 0) is not test:
            continue
        turns = (user(prompt),) if test else (user(prompt), assistant(reply))
        yield Sample(
            f"task-{name}-{seed}-{number}", turns, target=reply if test else None, split="test" if test else "train",
            cluster=given, group=name,
        )  # fmt: skip
        number += 1
