"""A mix in the form of the user's own files, to be trained elsewhere: a fine-tuning service, another toolkit."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from counterpoise.base import InputError, atomic_write, sha256_file
from counterpoise.chat import Image, Message, Sample

from ._chat_row import _ASKED, _REPLIED, _ROLE, _TEXT, DIALOGUE
from ._mix import source_of
from ._row_files import raw_rows

FORMS = (".json", ".jsonl")


def write_in_form(path: Path, rows: Iterable[Sample], files: Sequence[Path]) -> str | None:
    """Write rows as JSON Lines with the fields of `files`; the SHA-256, or None where that cannot be done.

    A row that was read from one of the files (its `meta` names file and number) is written as it stands there, all its
    fields included. Other rows get the fields of the first row of the files. None is returned for files that are not
    JSON, and for rows with images: their paths are those of the user's folder.
    """
    if not files or any(file.suffix not in FORMS for file in files):
        return None
    known = {file.name: dict(raw_rows(file)) for file in files}
    like = next((row for found in known.values() for row in found.values() if isinstance(row, dict)), None)
    if like is None:
        return None
    lines = []
    for row in rows:
        if any(message.images for message in row.messages):
            return None
        own = known.get(source_of(row), {}).get(int(row.meta.get("row", 0)))
        lines.append(own if isinstance(own, dict) else _row(row, like))
    with atomic_write(path) as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return sha256_file(path)


def _row(row: Sample, like: dict[str, Any]) -> dict[str, Any]:
    """A row with the fields that `like` has."""
    made: dict[str, Any] = {"id": row.id} if "id" in like else {}
    for name in DIALOGUE:
        if like.get(name):
            return made | {name: [_turn(message, like[name]) for message in row.messages]}
    asked = next(name for name in _ASKED if name in like)
    replied = next(name for name in _REPLIED if name in like)
    *before, last = row.messages
    if isinstance(like[asked], list):
        prompt = [_turn(message, like[asked]) for message in before]
        return made | {asked: prompt, replied: [_turn(last, like[replied])]}
    if len(before) != 1:
        raise InputError(f"row {row.id}: several turns do not fit into the field {asked!r} of the user's files")
    made |= {asked: before[0].text} | ({"input": ""} if "input" in like else {})
    return made | {replied: last.text}


def _turn(message: Message, like: Sequence[dict[str, Any]]) -> dict[str, str]:
    """A turn with the names of roles and fields that the user's have."""
    role = next(name for name in _ROLE if name in like[0])
    text = next(name for name in _TEXT if name in like[0])
    names = {"user": "human", "assistant": "gpt"} if role == "from" else {}
    said = "".join(part for part in message.parts if not isinstance(part, Image))
    return {role: names.get(message.role, message.role), text: said}
