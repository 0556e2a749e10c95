"""One row of a LLaVA, ShareGPT, OpenAI-style chat, Alpaca or prompt/completion file as a Sample.

A row: {"id": ..., "image": "a.jpg" or ["a.jpg", "b.jpg"] or absent, "conversations": [{"from": "human", "value":
"<image>\\nWhat is this?"}, {"from": "gpt", "value": "..."}]}. Other common names mean the same, see below. A row
without a dialogue may be {"instruction", "input", "output"}, or {"prompt", "completion"}, each with text or a list of
turns. A field that is null is a field that is not there: libraries that fill columns write null into every row.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from counterpoise.base import InputError
from counterpoise.chat import Conversation, Image, Message, Part, Role, Sample, conversation

ROLES: dict[str, Role] = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "model", "bot", "chatbot", "chatgpt", "ai", "bing", "bard"), "assistant"),
    "system": "system",
}  # fmt: skip
"""Names of roles, compared without case."""
DIALOGUE = ("conversations", "messages", "conversation", "dialog", "dialogue")
_ASKED = ("instruction", "prompt")
_REPLIED = ("output", "completion", "response")
_ROLE = ("from", "role")
_TEXT = ("value", "content", "text")
_IMAGES = ("image", "images")
_NOT_READ = ("video", "videos", "audio", "audios")
_THOUGHT = ("reasoning_content", "reasoning")
MARKS = "<image> marks for"
"""In the message about a row whose marks and images differ in number, which `training_rows` counts apart."""
PLACEHOLDER = re.compile(r"\n?<image>\n?")


class Where(NamedTuple):
    """The row that is read, for messages and for its images."""

    file: Path
    row: str
    root: Path

    def error(self, problem: str, name: str) -> InputError:
        return InputError.at(self.file, problem, row=self.row, field=name)


def parse_row(row: dict[str, Any], file: Path, number: int, root: Path, *, own: bool = False) -> Sample:
    """One row of such a file as a Sample; `file` and `number` are for messages, `root` is a resolved folder. In a file
    of our `own` a turn may say that it is trusted."""
    identity = row.get("id")
    known = isinstance(identity, str | int)
    where = Where(file, f"{number} (id {identity!r})" if known else str(number), root)
    if identity is not None and not known:
        raise where.error("expected text or a number", "id")
    for name in _NOT_READ:
        if row.get(name):
            raise where.error("expected a row of text and images", name)
    images = row_images(row, where)
    row = _single(row, where)
    name, turns = _dialogue(row, where)
    said = [_turn(turn, f"{name}[{place}]", where) for place, turn in enumerate(turns)]
    said = _with_system(row, [turn for turn in said if turn.role != "system" or turn.parts], where)
    asked = next((place for place, turn in enumerate(said) if turn.role == "user"), None)
    if asked is None:
        raise where.error("no turn of a user (human)", name)
    if said[-1].role != "assistant":
        raise where.error("the last turn must be the model's (gpt, assistant)", name)
    early = [turn for turn in said[:asked] if turn.role == "assistant"]
    messages = _placed([turn for turn in said if turn not in early], images, where, own)
    meta = {"source": file.name, "row": number}
    return Sample(
        id=str(identity) if identity is not None else f"row{number}",
        messages=messages,
        modality="image" if any(message.images for message in messages) else "text",
        split="train",
        meta=meta | ({"model_first": True} if early else {}),
    )


def _absent(value: Any) -> bool:
    """Null or empty, or a list or an object of nothing else: {"bytes": null, "path": null}."""
    if isinstance(value, dict):
        value = list(value.values())
    return value is None or value == "" or (isinstance(value, list) and all(map(_absent, value)))


def _first(value: dict[str, Any], names: tuple[str, ...], where: Where, prefix: str = "") -> tuple[str, Any]:
    """(name, value) of the one field under any of its names that is there: not null, not empty."""
    found = [(name, value[name]) for name in names if not _absent(value.get(name))]
    if len(found) > 1 and found[0][1] != found[1][1]:
        raise where.error(f'differs from "{found[1][0]}"; expected one of them', f"{prefix}{found[0][0]}")
    return found[0] if found else (next((name for name in names if name in value), names[0]), None)


def _single(row: dict[str, Any], where: Where) -> dict[str, Any]:
    """A row of one request and its reply as one with a dialogue; a row with a dialogue as it is."""
    if any(name in row for name in DIALOGUE):
        return row
    (asked, prompt), (replied, reply) = _first(row, _ASKED, where), _first(row, _REPLIED, where)
    if asked not in row and replied not in row:
        return row
    for name, value in ((asked, prompt), (replied, reply)):
        if not isinstance(value, str | list) or not value:
            raise where.error(f"expected text, got {type(value).__name__}" if value else "empty; expected text", name)
    if isinstance(prompt, str):
        more = row.get("input")
        if more is not None and not isinstance(more, str):
            raise where.error(f"expected text, got {type(more).__name__}", "input")
        prompt = [{"role": "user", "content": f"{prompt}\n\n{more}" if more and more.strip() else prompt}]
    if isinstance(reply, str):
        reply = [{"role": "assistant", "content": reply}]
    return {**row, "messages": [*prompt, *reply]}


def _dialogue(row: dict[str, Any], where: Where) -> tuple[str, list[Any]]:
    name, turns = _first(row, DIALOGUE, where)
    if not isinstance(turns, list) or not turns:
        raise where.error("expected a non-empty list of turns", name)
    return name, turns


# Turns


class _Slot:
    """A place for the next image of the row."""


@dataclass(eq=False)
class _Turn:
    role: Role
    parts: list[str | Image | _Slot]
    reasoning: str
    trusted: bool
    field: str


def _turn(turn: Any, place: str, where: Where) -> _Turn:
    if not isinstance(turn, dict):
        raise where.error(f"expected an object, got {type(turn).__name__}", place)
    name, spoken = _first(turn, _ROLE, where, f"{place}.")
    role = ROLES.get(spoken.strip().casefold()) if isinstance(spoken, str) else None
    if role is None:
        raise where.error(
            f"{spoken!r} is no role that is read; expected human, gpt or system, or their other common names",
            f"{place}.{name}",
        )
    name, value = _first(turn, _TEXT, where, f"{place}.")
    parts = _parts(value, f"{place}.{name}", where)
    if role != "user" and any(not isinstance(part, str) for part in parts):
        raise where.error("holds an image; only the user's turns may", f"{place}.{name}")
    if not any(not isinstance(part, str) or part.strip() for part in parts):
        if role != "system":
            raise where.error("empty; expected text", f"{place}.{name}")
        parts = []
    _, thought = _first(turn, _THOUGHT, where, f"{place}.")
    return _Turn(role, parts, thought if isinstance(thought, str) else "", turn.get("trusted") is True, place)


def _parts(value: Any, place: str, where: Where) -> list[str | Image | _Slot]:
    """Text, or a list of parts: {"type": "text", "text": ...}, {"type": "image"}, {"type": "image_url", ...}."""
    if value is None or isinstance(value, str):
        return [value or ""]
    if not isinstance(value, list):
        raise where.error(f"expected text or a list of parts, got {type(value).__name__}", place)
    parts: list[str | Image | _Slot] = []
    for number, part in enumerate(value):
        at = f"{place}[{number}]"
        if isinstance(part, str):
            parts.append(part)
            continue
        if not isinstance(part, dict):
            raise where.error(f"expected an object, got {type(part).__name__}", at)
        kind = part.get("type")
        if kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
            parts.append(part["text"])
        elif kind in ("image", "image_url", "input_image"):
            _, shown = _first(part, ("image_url", "image", "url", "path"), where, f"{at}.")
            parts.append(_Slot() if shown is None else _image(shown, at, where))
        else:
            raise where.error(f"{kind!r} is no part that is read; expected text or an image", f"{at}.type")
    return parts


def _with_system(row: dict[str, Any], said: list[_Turn], where: Where) -> list[_Turn]:
    """The turns, after the row's `system` text where it has one."""
    text = row.get("system")
    if text is None or (isinstance(text, str) and not text.strip()):
        return said
    if not isinstance(text, str):
        raise where.error(f"expected text, got {type(text).__name__}", "system")
    if said and said[0].role == "system":
        if "".join(map(str, said[0].parts)) != text:
            raise where.error("differs from the system turn; expected one of them", "system")
        return said
    return [_Turn("system", [text], "", False, "system"), *said]


def _placed(said: list[_Turn], images: list[Image], where: Where, own: bool) -> Conversation:
    """Messages with the row's images at their marks, or all before the first question."""
    asked = [turn for turn in said if turn.role == "user"]
    for turn in asked:
        turn.parts = [piece for part in turn.parts for piece in (_split(part) if isinstance(part, str) else [part])]
    slots = sum(isinstance(part, _Slot) for turn in asked for part in turn.parts)
    given = sum(isinstance(part, Image) for turn in asked for part in turn.parts)
    if slots != len(images) and (slots or given):
        raise where.error(f"{slots} {MARKS} {len(images)} images; expected one mark an image, or none at all", "image")
    if not slots and asked:
        asked[0].parts = [*images, *asked[0].parts]
    left = iter(images)
    messages = []
    for turn in said:
        parts: tuple[Part, ...] = tuple(next(left) if isinstance(part, _Slot) else part for part in turn.parts)
        thought = turn.reasoning if turn.role == "assistant" else ""
        messages.append(Message(turn.role, parts, thought, own and turn.trusted))
    return conversation(messages, f"{where.file}: row {where.row}")


def _split(text: str) -> list[str | Image | _Slot]:
    pieces: list[str | Image | _Slot] = []
    for number, piece in enumerate(PLACEHOLDER.split(text)):
        pieces += [_Slot()] if number else []
        pieces += [piece] if piece else []
    return pieces


# Images


def row_images(row: dict[str, Any], where: Where) -> list[Image]:
    """The images under `image` or `images`, in order."""
    listed = {name: row[name] if isinstance(row[name], list) else [row[name]] for name in _IMAGES if name in row}
    name, value = _first(listed, _IMAGES, where)
    return [_image(each, name, where) for each in value or []]


def _image(value: Any, name: str, where: Where) -> Image:
    """A path, a data URI, {"url": ...}, or {"bytes": ..., "path": ...} as Parquet files have it."""
    if isinstance(value, dict):
        data = value.get("bytes")
        if isinstance(data, bytes) and data:
            return Image.from_bytes(data, f"{where.file}: row {where.row}, {name}")
        value = value.get("url") or value.get("path")
    if isinstance(value, bytes):
        return Image.from_bytes(value, f"{where.file}: row {where.row}, {name}")
    if not isinstance(value, str):
        raise where.error("expected a path or a list of paths", name)
    if value.startswith("data:"):
        return Image.from_data_uri(value, f"{where.file}: row {where.row}, {name}")
    if value.startswith(("http://", "https://")):
        raise where.error(f"{value[:60]!r} is an address, and nothing is fetched; expected a file", name)
    try:
        path = (where.root / value).resolve()
        inside = path.is_relative_to(where.root)
    except (OSError, ValueError) as error:  # a null byte, a name too long
        raise where.error(f"not a usable path ({error})", name) from error
    if not inside:
        raise where.error(f"{value!r} leads outside the image folder {where.root}", name)
    try:
        return Image.from_path(path)
    except (InputError, OSError) as error:
        raise where.error(str(error), name) from error
