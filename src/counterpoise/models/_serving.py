"""What a folder says beside its weights: the system text that a correction protects together with, and the weights that
an adapter was trained on."""

import dataclasses
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, notice, read_json, write_json
from counterpoise.chat import Conversation, system

from ._source import weights_hash

FILE = "counterpoise.json"
"""File of a model's folder, or of an artifact's; its key `system` is the text, `base_weights` the hash of the weights
that an adapter was trained on."""


def served_system(folder: Path | None) -> str:
    """The system text that a folder names, "" when it names none. Raises InputError for anything but text."""
    if folder is None:
        return ""
    found = _read(folder).get("system", "")
    if not isinstance(found, str):
        raise InputError(f'{folder / FILE}: "system" is {type(found).__name__}; expected text')
    return found.strip()


def save_system(folder: Path, text: str) -> None:
    """Name the system text of a model or an artifact; the other keys of its file stay."""
    write_json(folder / FILE, _read(folder) | {"system": text})


def save_base(adapter: Path, base: Path) -> None:
    """Note in an adapter's folder which weights it was trained on; the other keys of its file stay."""
    write_json(adapter / FILE, _read(adapter) | {"base_weights": weights_hash(base)})


def on_other_base(adapter: Path, base: Path) -> bool:
    """Whether an adapter says that it was trained on other weights than those in a folder. Adapters that note nothing,
    as those of other tools, are taken as they are."""
    known = _read(adapter).get("base_weights")
    return known is not None and known != weights_hash(base)


def say_other_base(adapter: Path, base: Path, name: str) -> None:
    """One line where an adapter is put on other weights than it was trained on: shapes may fit all the same, and what
    is then measured is neither model."""
    if on_other_base(adapter, base):
        notice(f"{adapter}: was trained on other weights than those of {name}; numbers are of this combination")


def _read(folder: Path) -> dict[str, Any]:
    """What a folder says; nothing where it has no such file."""
    if not (folder / FILE).is_file():
        return {}
    value = read_json(folder / FILE)
    if not isinstance(value, dict):
        raise InputError(f"{folder / FILE}: expected an object")
    return value


def with_system(conversation: Conversation, text: str) -> Conversation:
    """The conversation as the model is served: the text before its own system turn, or as its system turn."""
    if not text:
        return conversation
    first = conversation[0]
    if first.role == "system":
        return (dataclasses.replace(first, parts=(f"{text}\n\n", *first.parts)), *conversation[1:])
    return (system(text), *conversation)
