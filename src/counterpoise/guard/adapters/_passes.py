"""One exchange -> the passes that a guard of given eyes needs to see all of it, and what it cannot see."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from counterpoise.base import InputError
from counterpoise.chat import Image, assistant, conversation

from .._values import Exchange, Sees
from ._parse import Mode
from ._shown import Pass
from ._turns import fold, only, read_turns, without


@dataclass(frozen=True)
class Plan:
    """All passes of an exchange. `unseen` says which of its parts no pass shows, and why."""

    passes: tuple[Pass, ...]
    texts: frozenset[int] = frozenset()
    """Keys of the text parts of the exchange."""
    images: frozenset[int] = frozenset()
    unseen: str | None = None
    """The guard cannot look at a part of it: at best the verdict is unknown."""
    refused: str | None = field(default=None)
    """Nothing can be judged at all."""


def plan(exchange: Exchange, sees: Sees, *, delimiters: Sequence[str] = (), needs_image: bool = False,
         folded: bool = False) -> Plan:  # fmt: skip
    """The passes before long texts are split: one, or one per image for a guard that sees one image at a time.

    A system message stands before the first user text; an answer is the last assistant turn. Adjacent texts of a
    message are one text, as a chat template joins them. Roles out of order and empty exchanges are refused.
    """
    messages = list(exchange.conversation)
    if exchange.answer is not None:
        messages.append(assistant(exchange.answer))
    try:
        checked = conversation(messages, "exchange")
    except InputError as error:
        return Plan((), refused=str(error))
    turns, texts, images, hidden = read_turns(checked, delimiters)
    mode: Mode = "response" if turns[-1][0] == "assistant" else "prompt"
    reasons = [hidden] if hidden else []
    if mode == "response" and not sees.answers:
        reasons.append("the guard does not read answers")
    if texts and not sees.texts:
        reasons.append("the guard does not read text")
        turns = without(turns, str)
    if images and sees.images == 0:
        reasons.append(f"{len(images)} image(s), and the guard sees none")
        turns = without(turns, Image)
    if needs_image and not images:
        return Plan((), texts, images, refused="the guard judges an image, and the exchange has none")
    if not any(part.keys for _, parts in turns for part in parts):
        return Plan((), texts, images, refused="; ".join(reasons) or "nothing to read")
    mode = mode if sees.answers else "prompt"
    one = Pass(fold(turns) if folded else turns, mode)
    several = sees.images is not None and sees.images > 0 and len(images) > sees.images
    passes = tuple(only(one, key) for key in sorted(images)) if several else (one,)
    return Plan(passes, texts, images, "; ".join(reasons) or None)
