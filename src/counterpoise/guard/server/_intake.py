"""Messages of a request -> an exchange that guards can look at, with every part counted."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from counterpoise.chat import Image, Message, Part

from .._values import Exchange
from ._config import Fetch, Limits
from ._errors import ApiError
from ._images import read_images
from ._views import NOTHING

Direction = Literal["input", "output", "both"]
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "user",
         "function": "user"}  # fmt: skip
"""Results of tools come from outside, like what a user says."""
TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
IMAGES = ("image_url", "input_image")
KNOWN = frozenset((
    "role", "content", "refusal", "reasoning_content", "reasoning", "name", "tool_calls", "function_call", "audio",
    "files", "attachments", "images", "video", "tool_call_id", "id",
))  # fmt: skip
"""Fields of a message that are read one by one, or hold no more than an id."""


@dataclass(frozen=True)
class Intake:
    """An exchange and the kinds of parts in it that nobody can look at."""

    exchange: Exchange
    uninspected: tuple[str, ...] = ()
    images: Mapping[str, Image] | None = None
    """Where -> the image as it was checked, for whoever passes the request on."""


@dataclass
class _Turn:
    role: str
    parts: list[Part | str]


async def read_messages(messages: Sequence[Mapping[str, Any]], limits: Limits, fetch: Fetch) -> Intake:
    """All turns of an OpenAI conversation. The last one is the answer when the assistant said it.

    Tool calls are read as text. Raises ApiError for wrong roles, no content, or more than the limits allow.
    """
    if not messages:
        raise ApiError(422, "invalid_request", "messages: empty", "messages")
    found: list[tuple[str, str, str, str]] = []  # role, kind, value, where
    for number, message in enumerate(messages):
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise ApiError(422, "invalid_request", f"messages.{number}.role: expected one of {', '.join(ROLES)}",
                           f"messages.{number}.role")  # fmt: skip
        found += [(ROLES[role], kind, value, where) for kind, value, where in pieces(message, f"messages.{number}")]
        if not found or not found[-1][3].startswith(f"messages.{number}."):
            found.append((ROLES[role], "text", "", f"messages.{number}."))
    _within(found, limits)
    wanted = [(value, where) for _, kind, value, where in found if kind == "image"]
    images = await read_images(wanted, limits, fetch)
    seen = {where: image for (_, where), image in zip(wanted, images, strict=True)}
    turns: list[_Turn] = []
    for role, kind, value, where in found:
        if kind == "other":
            continue
        if not turns or turns[-1].role != role:
            turns.append(_Turn(role, []))
        turns[-1].parts.append(seen[where].image if kind == "image" else value)
        if kind == "image" and (black := seen[where].black):
            turns[-1].parts.append(black)
    others = tuple(dict.fromkeys(value for _, kind, value, _ in found if kind == "other"))
    shown = {where: each.image for where, each in seen.items()}
    return Intake(_exchange(turns, has_others=bool(others)), others, shown)


def pieces(message: Mapping[str, Any], where: str) -> Iterator[tuple[str, str, str]]:
    """(text | image | other, value, where) of everything in one message that a model would see."""
    content = message.get("content")
    if isinstance(content, str):
        yield "text", content, f"{where}.content"
    elif isinstance(content, list):
        for number, part in enumerate(content):
            yield _piece(part, f"{where}.content.{number}")
    elif content is not None:
        raise ApiError(422, "invalid_request", f"{where}.content: expected text or a list of parts", f"{where}.content")
    for name in ("refusal", "reasoning_content", "reasoning", "name"):
        if isinstance(value := message.get(name), str) and value.strip():
            yield "text", value, f"{where}.{name}"
    calls = message.get("tool_calls") or ([message["function_call"]] if message.get("function_call") else [])
    for number, call in enumerate(calls if isinstance(calls, list) else [calls]):
        own = call.get("function") if isinstance(call, Mapping) else None
        text = json.dumps(call, ensure_ascii=False)
        if isinstance(own, Mapping) and isinstance(own.get("arguments"), str):
            text = f"{own.get('name', '')} {own['arguments']}"
        yield "text", text, f"{where}.tool_calls.{number}"
    for name in ("audio", "files", "attachments", "images", "video"):
        if message.get(name):
            yield "other", name, f"{where}.{name}"
    if rest := {name: value for name, value in message.items() if name not in KNOWN and value}:
        yield "text", json.dumps(rest, ensure_ascii=False), f"{where}.fields"  # a server may show them to its model


def _piece(part: Any, where: str) -> tuple[str, str, str]:
    if isinstance(part, str):
        return "text", part, where
    if not isinstance(part, Mapping) or not isinstance(kind := part.get("type"), str):
        raise ApiError(422, "invalid_request", f"{where}: expected a part with a type", where)
    if kind in TEXTS and isinstance(text := part.get(TEXTS[kind]), str):
        return "text", text, where
    if kind in IMAGES:
        url = part.get("image_url")
        url = url.get("url") if isinstance(url, Mapping) else url
        if isinstance(url, str) and "uuid" not in part:
            return "image", url, where
    return "other", kind[:40] if kind.isprintable() else "unnamed", where


def _within(found: Sequence[tuple[str, str, str, str]], limits: Limits) -> None:
    images = sum(kind == "image" for _, kind, _, _ in found)
    if images > limits.images:
        raise ApiError(413, "too_many_images", f"{images} images; at most {limits.images} are looked at")
    texts = [value for _, kind, value, _ in found if kind == "text"]
    if len(texts) > limits.texts:
        raise ApiError(413, "too_large", f"{len(texts)} texts; at most {limits.texts} are looked at")
    if (size := sum(map(len, texts))) > limits.text_characters:
        raise ApiError(413, "too_large", f"{size:,} characters; at most {limits.text_characters:,} are looked at")


def _exchange(turns: list[_Turn], *, has_others: bool) -> Exchange:
    """Turns in the order that guards expect: system, user, assistant, user, ...; the answer apart."""
    for turn in turns:
        turn.parts = [clean(part) if isinstance(part, str) else part for part in turn.parts]
    full = [turn for turn in turns if any(not isinstance(p, str) or p.strip() for p in turn.parts)]
    if not full:
        if has_others:
            return Exchange((Message("user", (NOTHING,)),))
        raise ApiError(422, "invalid_request", "messages: no content", "messages")
    answer = None
    if full[-1].role == "assistant" and not any(isinstance(p, Image) for p in full[-1].parts):
        answer = "\n\n".join(str(p) for p in full.pop().parts if str(p).strip())
    made: list[_Turn] = []
    for turn in full:
        role = "user" if turn.role == "system" and made else turn.role  # a later system message joins the request
        if made and made[-1].role == role:
            made[-1].parts += turn.parts
        else:
            if role == "assistant" and (not made or made[-1].role != "user"):
                made.append(_Turn("user", [NOTHING]))
            made.append(_Turn(role, list(turn.parts)))
    if not made or made[-1].role == "system":
        made.append(_Turn("user", [NOTHING]))
    return Exchange(tuple(Message(t.role, tuple(_spaced(t.parts))) for t in made), answer)  # type: ignore[arg-type]


def _spaced(parts: Sequence[Part]) -> Iterator[Part]:
    """Without empty texts, with a gap between texts that come from different parts."""
    before: Part | None = None
    for part in parts:
        if isinstance(part, str) and not part.strip():
            continue
        if isinstance(part, str) and isinstance(before, str):
            yield "\n\n"
        yield part
        before = part


def clean(text: str) -> str:
    """Without null bytes and halves of characters, which no tokenizer takes."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
