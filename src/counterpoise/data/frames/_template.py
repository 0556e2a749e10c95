"""A prompt format as a value: constant text, slots, options and images of a user's turn, and the turns around it."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Literal

from counterpoise.base import InputError, read_json, sha256_bytes, write_json
from counterpoise.chat import Conversation, Image, Message, Part, Sample

from .._mix import SampleFile, write_samples

IMAGE = "\ufffc"
"""Stands for an image in the flat text of a turn."""
GENERIC = ("Yes", "No", "Maybe", "None of these", "All of these", "It depends", "I do not know", "Something else")
"""Options that fit beside any request."""
_LINE = re.compile(r"([ \t]*)([(\[]?)([A-Za-z]|\d{1,2})([)\].:]+[ \t]+)(\S.*)")


@dataclass(frozen=True)
class Labels:
    """How enumerated lines are labelled: "A. ", "(a) ", "1) "."""

    before: str
    first: str
    """"A", "a" or "1"."""
    after: str

    def label(self, number: int) -> str:
        names = {"A": ascii_uppercase, "a": ascii_lowercase}.get(self.first)
        return self.before + (names[number] if names else str(number + 1)) + self.after

    def lines(self, options: Sequence[str]) -> str:
        """The options, one a line."""
        return "\n".join(self.label(number) + option for number, option in enumerate(options))


def option_block(lines: Sequence[str]) -> tuple[Labels, int] | None:
    """The labels and the length of a block of enumerated lines that begins at the first of `lines`: two or more, in
    order, labelled alike. None when there is none."""
    labels: Labels | None = None
    for number, line in enumerate(lines):
        match = _LINE.fullmatch(line)
        if match is None:
            break
        indent, opening, name, after, _ = match.groups()
        if number == 0:
            if name not in ("A", "a", "1"):
                return None
            labels = Labels(indent + opening, name, after)
        if labels is None or number >= 26 or line[: len(labels.label(number))] != labels.label(number):
            break
    else:
        number = len(lines)
    return (labels, number) if labels is not None and number >= 2 else None


@dataclass(frozen=True)
class Slot:
    """What differs from row to row."""

    kind: Literal["request", "text", "options"]
    """`request`: where a row's question stands. `text`: something else, such as a context. `options`: enumerated lines.
    """
    labels: Labels | None = None
    count: int = 0
    """How many options most rows have."""


@dataclass(frozen=True)
class Template:
    """One format of a set: the last user turn of its rows, what stands around it, and rows that have it."""

    parts: tuple[str | Slot, ...]
    """Constant text (an image is `IMAGE` in it) and slots, in order; exactly one is the request."""
    system: str | None
    """The system text, where rows share one; None: none, or each row its own."""
    rows: int
    """Rows it was learned from."""
    confidence: float
    """Share of these that it reproduces exactly."""
    lengths: tuple[int, int]
    """1st and 99th percentile of the characters of the turn."""
    reply: str
    """Text that the replies of these rows begin with, "" when they share none. Refusals do not get it."""
    carriers: tuple[Sample, ...] = dataclasses.field(default=(), repr=False)
    """Rows of the format: their system texts, earlier turns, images and further slots are what a filled one has."""

    @cached_property
    def id(self) -> str:
        """Short hash of the constant parts."""
        return sha256_bytes(repr((self.parts, self.system)).encode("utf-8", "replace"))[:8]

    @property
    def constants(self) -> tuple[str, ...]:
        """The constant segments, in order."""
        return tuple(part for part in self.parts if isinstance(part, str))

    @property
    def framed(self) -> bool:
        """Whether anything is constant beside images: without that a filled row is the bare request."""
        return self.system is not None or any(part.replace(IMAGE, "").strip() for part in self.constants)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        pieces = []
        for part in self.parts:
            if isinstance(part, str):
                pieces.append(re.escape(part))
            elif part.kind == "options":
                pieces.append(r"([^\n]+(?:\n[^\n]+)+)")
            else:
                pieces.append("(.*?)")
        return re.compile("".join(pieces), re.DOTALL)

    def match(self, text: str) -> tuple[str, ...] | None:
        """The values of the slots in the flat text of a turn (see `flat`); None where a constant segment is missing, is
        out of order, or an options slot holds no such lines."""
        found = self.pattern.fullmatch(text)
        if found is None:
            return None
        slots = [part for part in self.parts if isinstance(part, Slot)]
        for slot, value in zip(slots, found.groups(), strict=True):
            if slot.kind == "options" and option_block(value.split("\n")) != (slot.labels, value.count("\n") + 1):
                return None
        return found.groups()

    def request_of(self, text: str) -> str | None:
        """What stands in the request slot of a turn in this format."""
        values = self.match(text)
        return None if values is None else values[self._place]

    @property
    def _place(self) -> int:
        slots = [part for part in self.parts if isinstance(part, Slot)]
        return next(place for place, slot in enumerate(slots) if slot.kind == "request")

    def text(self, request: str, others: Sequence[str]) -> str:
        """The flat text with this request; `others` are the values of all slots in some row."""
        values = iter(others)
        written = []
        for part in self.parts:
            if isinstance(part, str):
                written.append(part)
                continue
            value = next(values)
            if part.kind == "options" and part.labels is not None:
                value = part.labels.lines(GENERIC[: max(2, min(part.count, len(GENERIC)))])
            written.append(request if part.kind == "request" else value)
        return "".join(written)

    def fill(self, request: str, carrier: Sample | int = 0) -> Conversation:
        """The request as the prompt of another row: the turns and images of a carrier (itself or its number, counted
        round), with the request in its last user turn. Raises InputError for a carrier of another format."""
        row = self.carriers[carrier % len(self.carriers)] if isinstance(carrier, int) else carrier
        *before, last = prompt_of(row)
        values = self.match(flat(last))
        if values is None:
            raise InputError(f"row {row.id}: is not in the format {self.id}")
        return (*before, turn(self.text(request, values), last.images))

    def with_text(self, text: str, carrier: Sample) -> Conversation:
        """A written turn of this format in the place of the carrier's."""
        *before, last = prompt_of(carrier)
        return (*before, turn(text, last.images))

    def json(self) -> dict[str, Any]:
        """Everything but the carriers."""
        parts = [part if isinstance(part, str) else {"slot": dataclasses.asdict(part)} for part in self.parts]
        return {
            "id": self.id, "parts": parts, "system": self.system, "rows": self.rows, "confidence": self.confidence,
            "lengths": list(self.lengths), "reply": self.reply,
        }  # fmt: skip


def prompt_of(row: Sample) -> Conversation:
    """The turns of a row before its reply."""
    return row.messages[:-1] if row.messages[-1].role == "assistant" else row.messages


def flat(message: Message) -> str:
    """The text of a turn with `IMAGE` where an image stands."""
    return "".join(IMAGE if isinstance(part, Image) else part.replace(IMAGE, "") for part in message.parts)


def turn(text: str, images: Sequence[Image]) -> Message:
    """The user turn of a flat text. Raises InputError when images and marks differ in number."""
    pieces = text.split(IMAGE)
    if len(pieces) != len(images) + 1:
        raise InputError(f"a turn with {len(pieces) - 1} places for {len(images)} images")
    parts: list[Part] = [pieces[0]] if pieces[0] else []
    for image, piece in zip(images, pieces[1:], strict=True):
        parts += [image, piece] if piece else [image]
    return Message("user", tuple(parts))


def save_template(path: Path, template: Template) -> None:
    """Write a template as JSON and its carriers beside it (NAME.rows.jsonl, with images that have no file)."""
    write_samples(path.with_suffix(".rows.jsonl"), template.carriers)
    write_json(path, template.json())


def load_template(path: Path) -> Template:
    """The template of a file that `save_template` wrote. Raises InputError for another one, or without its rows."""
    value = read_json(path)
    try:
        parts = tuple(part if isinstance(part, str) else _slot(part["slot"]) for part in value["parts"])
        low, high = value["lengths"]
        found = Template(
            parts, value["system"], int(value["rows"]), float(value["confidence"]), (int(low), int(high)),
            str(value["reply"]), tuple(SampleFile(path.with_suffix(".rows.jsonl"))),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: no template of a prompt format ({type(error).__name__}: {error})") from error
    if sum(isinstance(part, Slot) and part.kind == "request" for part in found.parts) != 1:
        raise InputError(f"{path}: a template has one slot for the request")
    if not found.carriers or any(found.match(flat(prompt_of(row)[-1])) is None for row in found.carriers):
        raise InputError(f"{path.with_suffix('.rows.jsonl')}: expected rows in the format of {path.name}")
    return found


def _slot(value: dict[str, Any]) -> Slot:
    labels = value.get("labels")
    return Slot(value["kind"], Labels(**labels) if labels else None, int(value["count"]))
