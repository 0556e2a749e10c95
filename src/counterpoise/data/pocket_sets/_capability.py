"""What the pocket can do, on held-out rendering: reading, naming, counting, simple questions."""

import random
from functools import lru_cache
from pathlib import Path
from typing import Literal

from counterpoise.base import InputError
from counterpoise.chat import Image, Sample, user
from counterpoise.data._pages import HELD_OUT_STYLES, STYLES

from ._visual import drawn_in, icons, printed, random_words

CapabilitySplit = Literal["validation", "test"]
_FILE = Path(__file__).with_name("questions.txt")


def _sample(
    kind: str,
    split: str,
    number: int,
    images: tuple[Image, ...],
    question: str,
    target: str,
    *,
    choices: tuple[str, ...] = (),
    group: str = "",
    shown: tuple[str, ...] = (),
    styles: tuple[str, ...] = (),
) -> Sample:
    key = f"pocket-{kind}-{split}-{number}"
    return Sample(
        id=key,
        messages=(user(*images, question),),
        target=target,
        choices=choices,
        harmful=False,
        modality="image" if images else "text",
        split="test" if split == "test" else "validation",
        cluster=key,
        group=group or kind,
        meta={"shown": shown, "styles": styles},
    )


def reading_test(n: int = 150, split: CapabilitySplit = "test") -> list[Sample]:
    """Phrases of 1 to 3 random lexicon words in print; the target is the exact phrase, the group its length."""
    found = []
    for number in range(n):
        rng = random.Random(f"reading {split} {number}")
        length = number % 3 + 1
        text = random_words(rng, length, length)
        image = printed(text, f"pocket-reading-{split}-{number}")
        question = "What does the image say?"
        group = f"{length} word{'s' if length > 1 else ''}"
        found.append(_sample("reading", split, number, (image,), question, text, group=group, shown=(text,)))
    return found


def naming_test(n: int = 200, split: CapabilitySplit = "test") -> list[Sample]:
    """One icon each; the target is its name. Half in styles of the training (group `seen`), half in held-out ones."""
    found = []
    for number in range(n):
        rng = random.Random(f"naming {split} {number}")
        held_out = number % 2 == 1
        style = rng.choice([style for style in STYLES if (style in HELD_OUT_STYLES) == held_out])
        concept = rng.choice(drawn_in(style))
        image = icons([concept], style, f"pocket-naming-{split}-{number}")
        found.append(
            _sample(
                "naming",
                split,
                number,
                (image,),
                "What is in the picture? Answer with one word.",
                concept,
                group="unseen" if held_out else "seen",
                shown=(f"icon:{concept}",),
                styles=(style,),
            )
        )
    return found


def counting_test(n: int = 100, split: CapabilitySplit = "test") -> list[Sample]:
    """One to four icons, each number equally often, in training styles on new pages; four choices."""
    found = []
    for number in range(n):
        rng = random.Random(f"counting {split} {number}")
        style = rng.choice([style for style in STYLES if style not in HELD_OUT_STYLES])
        amount = number % 4 + 1
        shown = rng.sample(drawn_in(style), amount)
        image = icons(shown, style, f"pocket-counting-{split}-{number}")
        found.append(
            _sample(
                "counting",
                split,
                number,
                (image,),
                "How many icons are in the picture?",
                str(amount),
                choices=("1", "2", "3", "4"),
                shown=tuple(f"icon:{concept}" for concept in shown),
                styles=(style,),
            )
        )
    return found


def arithmetic_test(n: int = 60, split: CapabilitySplit = "test") -> list[Sample]:
    """Sums, differences and small products as text, with four choices: a first thing that is lost when a model is
    taught to refuse. Groups are the operations."""
    found = []
    for number in range(n):
        rng = random.Random(f"arithmetic {split} {number}")
        name, sign = (("sum", "+"), ("difference", "-"), ("product", "*"))[number % 3]
        a, b = rng.randint(2, 9), rng.randint(2, 9)
        if name == "difference":
            a, b = a + b, a
        answer = {"sum": a + b, "difference": a - b, "product": a * b}[name]
        wrong = rng.sample([near for near in range(max(0, answer - 4), answer + 5) if near != answer], 3)
        choices = [str(each) for each in (answer, *wrong)]
        rng.shuffle(choices)
        question = f"What is {a} {sign} {b}?"
        found.append(
            _sample("arithmetic", split, number, (), question, str(answer), choices=tuple(choices), group=name)
        )
    return found


@lru_cache(maxsize=1)
def _questions() -> tuple[tuple[str, ...], ...]:
    rows = []
    for number, line in enumerate(_FILE.read_text(encoding="utf-8").splitlines(), 1):
        row = tuple(part.strip() for part in line.split("|"))
        if len(row) != 5 or not all(row):
            raise InputError.at(_FILE, "expected: question | answer | three wrong answers", row=number)
        rows.append(row)
    return tuple(rows)


def question_test(split: CapabilitySplit = "test") -> list[Sample]:
    """Easy text questions with a short answer among four choices; every third one is for validation."""
    found = []
    for number, (question, answer, *wrong) in enumerate(_questions()):
        if (number % 3 == 0) != (split == "validation"):
            continue
        choices = [answer, *wrong]
        random.Random(question).shuffle(choices)
        found.append(_sample("question", split, number, (), question, answer, choices=tuple(choices)))
    return found
