"""What a family of guard models is: what it sees, how it is asked, where its verdict stands and how it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from counterpoise.chat import Role

from .._values import Sees
from ._parse import Mode, Said

IMAGE = "\0image"
"""Stands for an image among the parts of a turn."""
Turn = tuple[Role, tuple[str, ...]]
"""Role and parts: texts, or IMAGE."""
Turns = tuple[Turn, ...]
Compose = Callable[[Turns, Mode, str], Turns]


class Tokens(NamedTuple):
    """What a raw prompt needs of the model: beginning of sequence, and an image's place."""

    bos: str
    image: str


Raw = Callable[[Turns, Mode, Tokens], str]


def short_name(model: str) -> str:
    """How a guard's id names its model: a folder by its own name, without the path to it."""
    return Path(model).name if Path(model).exists() else model


@dataclass(frozen=True)
class Family:
    """Everything that tells one family from another; the code that runs them is one."""

    name: str
    about: str
    models: tuple[str, ...]
    """Hub ids; the first is the default."""
    licence: str
    sees: Sees
    safe: tuple[str, ...]
    """Spellings of the verdict's first word; the probabilities of their first tokens are added."""
    unsafe: tuple[str, ...]
    controversial: tuple[str, ...] = ()
    prefix: Mapping[Mode, str | None] = field(default_factory=lambda: {"prompt": "", "response": ""})
    """What stands between the prompt and the verdict. None: the reply is generated first, see `anchor`."""
    anchor: str = ""
    """In a generated reply, what stands before the verdict; empty where the verdict has no probability."""
    parse: Callable[[str, Mode], Said] | None = field(default=None, repr=False)
    """None: the model writes nothing, its logits are the verdict."""
    max_new_tokens: int = 32
    turns: Literal["native", "folded"] = "native"
    """Folded: the model knows one request and one answer, so earlier turns stand in the request as a transcript."""
    needs_image: bool = False
    compose: Compose = field(default=lambda turns, mode, policy: turns, repr=False)
    """The turns that go into the chat template, from those of the exchange and the policy."""
    raw: Raw | None = field(default=None, repr=False)
    """The whole prompt where it is no chat, or where the checkpoint's template is not this family's."""
    marks: tuple[str, ...] = ()
    """What the checkpoint's template must write; otherwise it is not this family's."""
    block: tuple[str, str] | None = None
    """Delimiters between which every text of the exchange must stand."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    generation_prompt: bool = True
    delimiters: tuple[str, ...] = ()
    """Of the template, beside control tokens."""
    policies: bool = False
    """Asked once per image and policy; the verdict is the worst."""
    policy: str = field(default="", repr=False)
    """Policy text of a family that takes one."""
    official: bool = True
    """The prompt is the checkpoint's or its authors', not our wording."""
    categories: Mapping[str, str] = field(default_factory=dict)
    context: int = 4096
    """Tokens of text in one pass; longer exchanges are split."""
    note: str = ""
