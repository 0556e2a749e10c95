"""The constitution: rules about what an image may show, each with its preconditions. A YAML file that people edit."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from counterpoise.base import InputError, atomic_write, read_yaml, sha256_bytes

from ._prompts import PREPARE_VERSION
from ._wording import PAPER_WORDING, WORDINGS, Wording

LEAST_OBJECTIVE = 9
"""Of 10; rules below it are rewritten before they are judged (the paper's bound)."""
SMALLEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Central(NamedTuple):
    """The words of a precondition whose region is removed or cropped. `and`: all of them together; `or`: the surest."""

    words: tuple[str, ...]
    joint: Literal["and", "or"] = "or"


def read_central(text: str) -> Central | None:
    """`[mouth]`, `[a] and [b]`, `[a] or [b]`, or a bare word; None for an empty text. Raises InputError otherwise."""
    if not text.strip():
        return None
    if "[" not in text and "]" not in text:
        return Central((" ".join(text.split()),))
    words = tuple(" ".join(word.split()) for word in re.findall(r"\[([^\[\]]+)\]", text))
    between = {part.strip().lower() for part in re.split(r"\[[^\[\]]*\]", text.strip())[1:-1]}
    outside = re.split(r"\[[^\[\]]*\]", text.strip())
    if not words or not all(words) or outside[0] or outside[-1] or not between <= {"and", "or"} or len(between) > 1:
        raise InputError(f"central words {text!r}: write [a], [a] and [b], or [a] or [b]")
    return Central(words, "and" if between == {"and"} else "or")


class Group(BaseModel):
    """Preconditions of which one is enough."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    any: tuple[str, ...] = Field(min_length=1)


class Rule(BaseModel):
    """One rule: the image violates it when every precondition is satisfied."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    text: str
    original: str | None = None
    """The text before it was made objective."""
    objectiveness: int | None = Field(default=None, ge=1, le=10)
    preconditions: tuple[Group | str, ...] = ()
    central: tuple[str, ...] = ()
    """For each precondition text, also within OR groups: `[mouth]`, `[a] and [b]`, `[a] or [b]` or empty."""
    source_hash: str | None = None
    """Set by `prepare`: over the texts, the model and the version of its prompts. Absent: the parts were written by
    hand."""

    @field_validator("id")
    @classmethod
    def _id(cls, value: str) -> str:
        if not SMALLEST_ID.fullmatch(value):
            raise ValueError("use letters, digits, dots, dashes and underscores, at most 64")
        return value

    @field_validator("text")
    @classmethod
    def _text(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("empty; write what must not be visible")
        return " ".join(value.split())

    @model_validator(mode="after")
    def _parts(self) -> "Rule":
        texts = [text for group in self.groups for text in group]
        if not all(text.strip() for text in texts):
            raise ValueError("preconditions: one is empty")
        if self.central and len(self.central) != len(texts):
            raise ValueError(f"central: {len(self.central)} entries for {len(texts)} precondition texts")
        for text in self.central:
            read_central(text)
        return self

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The chain: every group must be satisfied, a group is when one of its texts is."""
        return tuple(part.any if isinstance(part, Group) else (part,) for part in self.preconditions)

    def central_of(self, group: int, member: int) -> Central | None:
        """The central words of one precondition text."""
        if not self.central:
            return None
        return read_central(self.central[sum(map(len, self.groups[:group])) + member])

    def hash_for(self, model: str, version: str = PREPARE_VERSION) -> str:
        """Hash of what the prepared parts depend on: the texts, the model that made them and its prompts."""
        return sha256_bytes("\x1f".join((self.original or "", self.text, model, version)).encode())[:16]


class Constitution(BaseModel):
    """Rules in the order in which they are judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "constitution"
    model: str | None = None
    """What prepared the rules."""
    prompts: str | None = None
    """Version of the prompts that it was asked with."""
    wording: dict[str, Wording] = Field(default_factory=dict)
    """How a judge is asked, by the `model_type` of its configuration; `default` for all others, else the paper's words.
    A name of `WORDINGS` or the questions themselves; a single name is the default."""
    rules: tuple[Rule, ...] = Field(min_length=1)

    @field_validator("wording", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        named = {"default": value} if isinstance(value, str) else value
        if not isinstance(named, dict):
            return named
        for one in named.values():
            if isinstance(one, str) and one not in WORDINGS:
                raise ValueError(str(InputError.unknown("wording", one, WORDINGS)))
        return {key: WORDINGS[one] if isinstance(one, str) else one for key, one in named.items()}

    @model_validator(mode="after")
    def _unique(self) -> "Constitution":
        ids = [rule.id for rule in self.rules]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise ValueError(f"rule {twice[0]!r} occurs twice; ids must be unique")
        return self

    @property
    def hash(self) -> str:
        """What verdicts depend on: ids, texts, preconditions, central words and wordings, not who prepared them."""
        judged = [rule.model_dump(include={"id", "text", "preconditions", "central"}) for rule in self.rules]
        asked = {name: wording.version for name, wording in self.wording.items()}
        return sha256_bytes((repr(judged) + (repr(asked) if asked else "")).encode())[:12]

    def wording_for(self, model_type: str) -> Wording:
        """How a model of this type is asked."""
        return self.wording.get(model_type, self.wording.get("default", PAPER_WORDING))

    def stale(self, rule: Rule, model: str | None = None, version: str = PREPARE_VERSION) -> bool:
        """Whether the prepared parts of a rule no longer belong to its text (or to `model` and these prompts). Parts
        written by hand are never stale."""
        if rule.source_hash is None:
            return False
        return rule.source_hash != rule.hash_for(model or self.model or "", version)

    def check_ready(self, source: str) -> None:
        """Raises InputError for the first rule that cannot be judged: no preconditions, or those of another text."""
        for rule in self.rules:
            if not rule.preconditions:
                raise InputError(f"{source}: rule {rule.id}: no preconditions; write them, or run guard clue prepare")
            # judging needs the parts to fit the text; with which prompts they were made does not matter any more
            if self.stale(rule, version=self.prompts or PREPARE_VERSION):
                raise InputError(
                    f"{source}: rule {rule.id}: its text changed after its preconditions were made; run guard clue "
                    "prepare again, or remove source_hash if they are meant"
                )


def load_constitution(path: Path) -> Constitution:
    """Read a constitution. Raises InputError naming the file, the rule and the field of every problem."""
    return parse_constitution(read_yaml(path), str(path))


def parse_constitution(value: Any, source: str) -> Constitution:
    """A constitution from plain values. Raises InputError."""
    if not isinstance(value, dict) or not value:
        what = "empty; " if value in (None, {}) else ""
        raise InputError(
            f"{source}: {what}expected a mapping with a list of rules, as in `rules: [{{id: no-flames, text: ...}}]`"
        )
    try:
        return Constitution.model_validate(value)
    except ValidationError as error:
        problems = [_problem(each["loc"], each["msg"], value) for each in error.errors()]
        raise InputError(f"{source}: {'; '.join(problems)}") from error


def _problem(place: Sequence[str | int], message: str, value: dict[str, Any]) -> str:
    rules = value.get("rules")
    parts = [str(part) for part in place]
    if len(place) > 1 and isinstance(rules, list) and isinstance(place[1], int) and place[1] < len(rules):
        rule = rules[place[1]]
        name = rule.get("id") if isinstance(rule, dict) else None
        parts = [f"rule {name or place[1] + 1}", *parts[2:]]
    where = ", ".join(part for part in parts if part not in ("Group", "str"))
    return f"{where}: {message.removeprefix('Value error, ')}".removeprefix(": ")


def save_constitution(path: Path, constitution: Constitution) -> None:
    """Write the YAML file, atomically, with the fields in the order of a reader."""
    import yaml

    plain = constitution.model_dump(mode="json", exclude_none=True)
    if not plain["wording"]:
        del plain["wording"]
    plain["rules"] = [{name: value for name, value in rule.items() if value != []} for rule in plain["rules"]]
    with atomic_write(path) as file:
        yaml.safe_dump(plain, file, sort_keys=False, allow_unicode=True, width=100)
