"""Everything in a message that a model might see: its texts, its images, and what nobody can look at."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from ._decision import Place
from ._errors import ApiError

TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
IMAGES = ("image_url", "input_image")
MEDIA = re.compile(r"(?:^|_)(?:image|audio|video|media|file|attachment|pixel|embed|embedding|uuid)s?(?:_|$)")
"""Names of fields that hold, or point at, what no guard has seen. With `uuid` a server may show another image."""

PROTOCOL = frozenset({
    "annotations", "arguments", "cache_control", "content", "custom", "description", "function", "function_call", "id",
    "index", "input", "items", "name", "parameters", "properties", "reasoning", "reasoning_content", "refusal",
    "required", "summary", "text", "title", "tool_calls", "tool_call_id", "type", "url",
})  # fmt: skip
"""Keys that say nothing by themselves; others are read like texts."""
SHORT = frozenset({"id", "type", "role", "object", "call_id", "tool_call_id", "format", "detail", "ttl"})
"""Fields that hold a short identifier, which is not worth a look; what is no identifier is."""


class Piece(NamedTuple):
    """One thing in a message."""

    kind: Literal["text", "image", "other"]
    value: str
    """The text, the image's address or data, or the name of what nobody can look at."""
    where: str
    """Such as messages.1.content.0."""

    @property
    def place(self) -> Place:
        _, message, *rest = self.where.split(".")
        return Place(int(message), int(rest[1]) if rest[:1] == ["content"] and len(rest) > 1 else None)


def pieces(message: Mapping[str, Any], where: str) -> Iterator[Piece]:
    """All pieces of one message, in order. Raises ApiError 422 for content that is none."""
    content = message.get("content")
    if isinstance(content, str):
        yield Piece("text", content, f"{where}.content")
    elif isinstance(content, list):
        for number, part in enumerate(content):
            yield from _part(part, f"{where}.content.{number}")
    elif content is not None:
        raise ApiError(422, "invalid_request", f"{where}.content: expected text or a list of parts", f"{where}.content")
    for name, value in message.items():
        if name not in ("role", "content"):
            yield from _beside({name: value}, f"{where}.fields")


def _part(part: Any, where: str) -> Iterator[Piece]:
    """One part of a content, and what stands in it besides: servers do not agree on what they show to the model."""
    if isinstance(part, str):
        yield Piece("text", part, where)
        return
    if not isinstance(part, Mapping) or not isinstance(kind := part.get("type"), str):
        raise ApiError(422, "invalid_request", f"{where}: expected a part with a type", where)
    rest = {name: value for name, value in part.items() if name != "type"}
    if kind in TEXTS and isinstance(text := part.get(TEXTS[kind]), str):
        yield Piece("text", text, where)
        del rest[TEXTS[kind]]
    elif kind in IMAGES and isinstance(url := address(part), str):
        yield Piece("image", url, where)
        own = rest.pop("image_url")
        rest |= {name: value for name, value in own.items() if name != "url"} if isinstance(own, Mapping) else {}
    else:
        yield Piece("other", kind[:40] if kind.isprintable() else "unnamed", where)
        return
    yield from _beside(rest, where)


def address(part: Mapping[str, Any]) -> Any:
    """Where the image of a part stands: its data or its address."""
    url = part.get("image_url")
    return url.get("url") if isinstance(url, Mapping) else url


def _beside(fields: Mapping[str, Any], where: str) -> Iterator[Piece]:
    """Fields besides the ones that have a meaning of their own, as one text."""
    if strange := next((name for name, value in fields.items() if value and MEDIA.search(name)), None):
        yield Piece("other", strange[:40], where)
    elif text := "\n".join(strings(fields)):
        yield Piece("text", text, where)


def strings(value: Any, *, keys: bool = True) -> Iterator[str]:
    """All strings in a value, and its keys: with `keys` those that are not the protocol's own, without it only those
    long enough to be a sentence. Raises RecursionError for what is nested too deeply."""
    if isinstance(value, str):
        if value.strip():
            yield unescaped(value)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if len(name) > 24 or " " in name or (keys and inner and name not in PROTOCOL and name not in SHORT):
                yield name
            if name not in SHORT or not is_name(inner):
                yield from strings(inner, keys=keys)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, keys=keys)


def is_name(value: Any) -> bool:
    """Whether this is a short identifier."""
    return isinstance(value, str) and len(value) <= 64 and bool(re.fullmatch(r"[\w.:/-]*", value))


def unescaped(text: str) -> str:
    """A text, and where it is JSON with escapes, the text once more without them, as a server decodes it."""
    if "\\" not in text or text.lstrip()[:1] not in ("{", "[", '"'):
        return text
    plain = re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPES.get(m[2], m[2]),
                   text, flags=re.DOTALL)  # fmt: skip
    return f"{text}\n{plain.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')}"


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": " ", "f": " "}
