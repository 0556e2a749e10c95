"""What CLUE is compared with: prior knowledge, and the whole constitution in one query, each as yes/no and reasoned."""

from collections.abc import Sequence
from typing import Literal

from counterpoise.base import InputError
from counterpoise.chat import Image, user

from ._ask import EngineAsker
from ._constitution import Constitution
from ._prompts import CONSTITUTION, PRIOR, STEPS, YES_NO
from ._values import ImageVerdict, Reading

Baseline = Literal["prior", "prior-cot", "constitution", "constitution-cot"]
BASELINES: tuple[Baseline, ...] = ("prior", "prior-cot", "constitution", "constitution-cot")
BATCH = 32


def baseline(
    kind: Baseline,
    asker: EngineAsker,
    constitution: Constitution,
    images: Sequence[Image],
    least_mass: float = 0.5,
    threshold: float = 0.5,
) -> list[ImageVerdict]:
    """One verdict for each image; no rule is named.

    The yes/no forms say unsafe when M >= `threshold` at the first answer token, the others (-cot) what the summary of
    their reasoning says, or yes and no after it where that cannot be read. Too little mass on yes and no and a broken
    image are `unknown`.
    """
    question = baseline_question(kind, constitution)
    reasoned = kind.endswith("-cot")
    verdicts: list[ImageVerdict] = []
    for start in range(0, len(images), BATCH):
        verdicts += _batch(asker, question, images[start : start + BATCH], reasoned, (least_mass, threshold))
    return verdicts


def baseline_question(kind: Baseline, constitution: Constitution) -> str:
    """What a baseline asks, before it says in which form to answer."""
    if kind not in BASELINES:
        raise InputError.unknown("baseline", kind, BASELINES)
    rules = "\n".join(f"{n}. {rule.text}" for n, rule in enumerate(constitution.rules, 1))
    return PRIOR if kind.startswith("prior") else CONSTITUTION.format(rules)


def baseline_readings(
    kind: Baseline, asker: EngineAsker, constitution: Constitution, images: Sequence[Image]
) -> list[Reading]:
    """M and mass of a yes/no baseline for each image, for a threshold of its own."""
    text = baseline_question(kind, constitution) + YES_NO
    return [
        reading
        for start in range(0, len(images), BATCH)
        for reading in asker.ask([(user(image, text),) for image in images[start : start + BATCH]])
    ]


def _batch(
    asker: EngineAsker, question: str, images: Sequence[Image], reasoned: bool, limits: tuple[float, float]
) -> list[ImageVerdict]:
    least_mass, threshold = limits
    text = question + (STEPS if reasoned else YES_NO)
    broken: dict[int, str] = {}
    for place, image in enumerate(images):
        try:
            image.pil()
        except InputError as error:
            broken[place] = str(error)
    talks = [(user(image, text),) for place, image in enumerate(images) if place not in broken]
    if reasoned:
        rated = asker.think(talks, [question + YES_NO] * len(talks))
        found = [one.answer(least_mass) for one in rated]
        said = [(answer, "" if answer is not None else "unreadable rating") for answer in found]
    else:
        said = [
            (reading.m >= threshold, "") if reading.mass >= least_mass else (None, f"{reading.mass:.0%} on yes and no")
            for reading in asker.ask(talks)
        ]
    answers = iter(said)
    verdicts = []
    for place, image in enumerate(images):
        yes, reason = (None, broken[place]) if place in broken else next(answers)
        label: Literal["safe", "unsafe", "unknown"] = "unknown" if yes is None else "unsafe" if yes else "safe"
        counts = {"reasoned queries" if reasoned else "token queries": int(place not in broken)}
        verdicts.append(ImageVerdict(image.source, label, reason=reason, counts=counts))
    return verdicts
