"""The system text that belongs to a model: a correction may say that it protects only together with one."""

import dataclasses
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, read_json, write_json
from counterpoise.chat import Conversation, system

FILE = "counterpoise.json"
"""File of a model's folder, or of an artifact's; its key `system` is the text."""


def served_system(folder: Path | None) -> str:
    """The system text that a folder names, "" when it names none. Raises InputError for anything but text."""
    if folder is None or not (folder / FILE).is_file():
        return ""
    value = _read(folder)
    found = value.get("system", "")
    if not isinstance(found, str):
        raise InputError(f'{folder / FILE}: "system" is {type(found).__name__}; expected text')
    return found.strip()


def save_system(folder: Path, text: str) -> None:
    """Name the system text of a model or an artifact; the other keys of its file stay."""
    value = _read(folder) if (folder / FILE).is_file() else {}
    write_json(folder / FILE, value | {"system": text})


def _read(folder: Path) -> dict[str, Any]:
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
