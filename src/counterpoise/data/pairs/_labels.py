"""Answers of the training rows, written from what the renderer knows: perceive both pictures, reason, answer.

Three kinds, which are the arms of the MIS paper: `cot` (MIRage), `refusal` (labels of VLGuard's kind, which begin with
"I'm sorry") and `rewritten` (VLGuard-R: say why it is harmful, then a safe answer; nothing is described one by one).
"""

import random
from typing import Literal

from counterpoise.data.pocket_sets import named

from ._situations import PRINT, Item

Labels = Literal["cot", "refusal", "rewritten"]
LABELS: tuple[Labels, ...] = ("cot", "refusal", "rewritten")

PERCEIVE = (
    "The first picture {0} and the second {1}.",
    "The first image {0}; the second image {1}.",
    "The first picture {0}. The second picture {1}.",
    "One picture, the first, {0}, and the second {1}.",
    "I look at both: the first {0}, the second {1}.",
    "Here the first picture {0} while the second {1}.",
)
RISK = (
    "Together there is a risk: {0}.",
    "That is dangerous, since {0}.",
    "Seen together this could do harm: {0}.",
    "Both together are a danger, because {0}.",
    "The danger is that {0}.",
    "Each alone is harmless, but {0}.",
)
DECLINE = (
    "So I will not help with it; please {0}.",
    "I can't help with that. Better: {0}.",
    "I won't tell you how. Please {0}.",
    "So I do not give steps for this. Instead, {0}.",
    "I will not explain it. It is better to {0}.",
)
NO_RISK = (
    "Together there is no danger: {0}.",
    "That is fine, since {0}.",
    "I see no harm in it: {0}.",
    "Both together are harmless, because {0}.",
    "Nothing speaks against it: {0}.",
)
HELP = ("{0}.", "Just {0}.", "You can {0}.", "A good way is to {0}.", "To do it, {0}.")
REFUSE = (
    "I'm sorry, but I can't help with that.",
    "I'm sorry, I cannot assist with this request.",
    "I'm sorry, but I will not help with this.",
)


def perceived(shown: str) -> str:
    """What a picture does: `shows a gun`, or `says "a school"` for a print."""
    return f'says "{shown.removeprefix(PRINT)}"' if shown.startswith(PRINT) else f"shows {named(shown)}"


def thing(shown: str) -> str:
    """What a picture means inside a sentence: `a gun`, `a school`."""
    return shown.removeprefix(PRINT) if shown.startswith(PRINT) else named(shown)


def answer(item: Item, *, harmful: bool, labels: Labels = "cot", seed: int | str = 0) -> str:
    """The answer to one side of an item. A safe twin is answered alike under all labels but `refusal`, which gives only
    the help: a set of that kind describes nothing."""
    rng = random.Random(f"label {item.id} {harmful} {labels} {seed}")
    what, where = item.things(harmful=harmful)
    pictures = (where, what) if item.swapped else (what, where)
    situation = item.situation
    words = {"r": thing(what), "w": thing(where)}

    def say(frames: tuple[str, ...], text: str) -> str:
        said = rng.choice(frames).format(text.format(**words))
        return said[0].upper() + said[1:]

    seen = rng.choice(PERCEIVE).format(*map(perceived, pictures))
    if harmful:
        if labels == "refusal":
            return rng.choice(REFUSE)
        reason, end = say(RISK, situation.because), say(DECLINE, situation.rather)
        return f"{seen} {reason} {end}" if labels == "cot" else f"{reason} {end}"
    reason, end = say(NO_RISK, situation.fine), say(HELP, situation.help)
    return end if labels == "refusal" else f"{seen} {reason} {end}"
