"""Reader of preference pairs that carry one order and no labels: transcripts (HH-RLHF) and prompt/chosen/rejected rows.

| layout | columns |
|---|---|
| transcripts | chosen, rejected: "\\n\\nHuman: ...\\n\\nAssistant: ..." with equal turns but for the last reply |
| messages | chosen, rejected (and maybe prompt): lists of {"role", "content"} |
| texts | prompt, chosen, rejected: text |
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Message, Pair, assistant, user

from ._row_files import raw_rows

_TURN = re.compile(r"\n\n(Human|Assistant):[ \n]?")


def holds_pairs(file: Path) -> bool:
    """Whether the first row of a file has one of these layouts."""
    first = next((row for _, row in islice(raw_rows(file), 1)), {})
    return isinstance(first, dict) and "chosen" in first and "rejected" in first


def read_pairs(file: Path) -> Iterator[Pair]:
    """Stream the pairs of a JSON list, JSON Lines or Parquet file in one of the layouts above; text only.

    Raises InputError naming file, row and field: a missing column, a transcript without turns or whose two sides differ
    before the last reply, two equal replies.
    """
    for number, row in raw_rows(file):
        if isinstance(row, str):
            raise InputError.at(file, row, row=number)
        sides = [_conversation(row, name, file, number) for name in ("chosen", "rejected")]
        if sides[0][:-1] != sides[1][:-1]:
            problem = "its turns before the last reply differ from those of chosen"
            raise InputError.at(file, problem, row=number, field="rejected")
        chosen, rejected = (side[-1].text for side in sides)
        if chosen == rejected:
            raise InputError.at(file, "equals chosen; a pair needs two different replies", row=number, field="rejected")
        meta = {"source": file.name, "row": number}
        yield Pair(str(row.get("id") or f"row{number}"), sides[0][:-1], chosen, rejected, meta)


def _conversation(row: dict[str, Any], name: str, file: Path, number: int) -> Conversation:
    value, prompt = row.get(name), row.get("prompt")
    if isinstance(value, str) and value.strip():
        if isinstance(prompt, str) and prompt.strip():
            return (user(prompt), assistant(value))
        messages = _turns(value)
    elif isinstance(value, list):
        before = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}] if prompt else []
        messages = [_message(each, file, number, name) for each in [*before, *value]]
    else:
        raise InputError.at(file, "missing or empty; expected text or a list of messages", row=number, field=name)
    roles = [message.role for message in messages if message.role != "system"]
    if len(roles) < 2 or roles != ["user", "assistant"] * (len(roles) // 2):
        problem = "expected turns of a user and an assistant that alternate and end in a reply"
        raise InputError.at(file, problem, row=number, field=name)
    return tuple(messages)


def _turns(text: str) -> list[Message]:
    _, *parts = _TURN.split(text if text.startswith("\n\n") else f"\n\n{text}")
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [user(said.strip()) if who == "Human" else assistant(said.strip()) for who, said in pairs if said.strip()]


def _message(value: Any, file: Path, number: int, name: str) -> Message:
    role, content = (value.get("role"), value.get("content")) if isinstance(value, dict) else (None, None)
    if role not in ("system", "user", "assistant") or not isinstance(content, str) or not content.strip():
        raise InputError.at(file, "expected messages with a role and text as content", row=number, field=name)
    return Message(role, (content,))
