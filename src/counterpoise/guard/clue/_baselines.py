"""What CLUE is compared with: prior knowledge, and the whole constitution in one query, each as yes/no and reasoned."""

from collections.abc import Sequence
from typing import Literal

from counterpoise.base import InputError
from counterpoise.chat import Image, user

from ._ask import EngineAsker
from ._constitution import Constitution
from ._prompts import CONSTITUTION, PRIOR, STEPS, YES_NO
from ._values import ImageVerdict

Baseline = Literal["prior", "prior-cot", "constitution", "constitution-cot"]
BASELINES: tuple[Baseline, ...] = ("prior", "prior-cot", "constitution", "constitution-cot")
BATCH = 32


def baseline(
    kind: Baseline, asker: EngineAsker, constitution: Constitution, images: Sequence[Image], least_mass: float = 0.5
) -> list[ImageVerdict]:
    """One verdict for each image; no rule is named.

    The yes/no forms say unsafe when M >= 0.5 at the first answer token, the others (-cot) what the summary of their
    reasoning says. Too little mass on yes and no, an unreadable summary and a broken image are `unknown`.
    """
    if kind not in BASELINES:
        raise InputError.unknown("baseline", kind, BASELINES)
    rules = "\n".join(f"{n}. {rule.text}" for n, rule in enumerate(constitution.rules, 1))
    question = PRIOR if kind.startswith("prior") else CONSTITUTION.format(rules)
    reasoned = kind.endswith("-cot")
    text = question + (STEPS if reasoned else YES_NO)
    verdicts: list[ImageVerdict] = []
    for start in range(0, len(images), BATCH):
        verdicts += _batch(asker, text, images[start : start + BATCH], reasoned, least_mass)
    return verdicts


def _batch(
    asker: EngineAsker, text: str, images: Sequence[Image], reasoned: bool, least_mass: float
) -> list[ImageVerdict]:
    broken: dict[int, str] = {}
    for place, image in enumerate(images):
        try:
            image.pil()
        except InputError as error:
            broken[place] = str(error)
    talks = [(user(image, text),) for place, image in enumerate(images) if place not in broken]
    if reasoned:
        said = [(rated.yes, "" if rated.yes is not None else "unreadable rating") for rated in asker.think(talks)]
    else:
        said = [
            (reading.m >= 0.5, "") if reading.mass >= least_mass else (None, f"{reading.mass:.0%} on yes and no")
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
