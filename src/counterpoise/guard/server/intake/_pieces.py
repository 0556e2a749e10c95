"""Everything in a message that a model might see: its texts, its images, and what nobody can look at."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from .._decision import Place
from .._errors import ApiError

TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
IMAGES = ("image_url", "input_image")
MEDIA = re.compile(r"(?:^|_)(?:image|audio|video|media|file|attachment|pixel|embed|embedding|uuid)s?(?:_|$)")
"""Names of fields that hold, or point at, what no guard has seen. With `uuid` a server may show another image."""
INLINE = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+-]+=[^;,\s]*)*;base64,\s*[A-Za-z0-9+/]{32}", re.IGNORECASE)
"""A file written into a text."""
_BLOB = re.compile(r"\s*[A-Za-z0-9+/_=-]{512,}\s*")

_SCHEMA = (
    "$comment $defs $id $ref $schema additionalProperties allOf anyOf const contains default definitions deprecated "
    "else enum examples exclusiveMaximum exclusiveMinimum format if items maxItems maxLength maxProperties maximum "
    "minItems minLength minProperties minimum multipleOf not nullable oneOf pattern patternProperties prefixItems "
    "properties propertyNames readOnly required schema strict then title uniqueItems writeOnly"
)
PROTOCOL = frozenset({
    "annotations", "arguments", "cache_control", "call_id", "content", "custom", "description", "detail", "function",
    "function_call", "grammar", "id", "index", "input", "json_schema", "logprobs", "name", "object", "output",
    "parameters", "reasoning", "reasoning_content", "refusal", "role", "status", "summary", "syntax", "text",
    "tool_calls", "tool_call_id", "ttl", "type", "url", "definition", *_SCHEMA.split(),
})  # fmt: skip
"""Keys that say nothing by themselves; others are read like texts."""
IDS = frozenset({"id", "call_id", "tool_call_id"})
"""Fields that hold a short identifier, which is not worth a look; what is no identifier is."""
WORDS: Mapping[str, frozenset[str]] = {
    name: frozenset(words.split()) for name, words in {
        "type": "array boolean integer null number object string function custom text json_object json_schema ephemeral"
                " grammar content summary_text reasoning_text output_text input_text refusal message reasoning"
                " function_call custom_tool_call allowed_tools",
        "format": "date date-time duration email hostname int32 int64 ipv4 ipv6 regex time uri url uuid float double",
        "detail": "auto low high original", "ttl": "5m 1h 24h", "status": "completed in_progress incomplete",
        "syntax": "lark regex", "mode": "auto required", "object": "response chat.completion",
        "role": "system developer user assistant tool function",
    }.items()
}  # fmt: skip
"""Values of fields that are the protocol's own words."""


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
        yield Piece("other", named(kind), where)
        return
    yield from _beside(rest, where)


def address(part: Mapping[str, Any]) -> Any:
    """Where the image of a part stands: its data or its address."""
    url = part.get("image_url")
    return url.get("url") if isinstance(url, Mapping) else url


def _beside(fields: Mapping[str, Any], where: str) -> Iterator[Piece]:
    """Fields besides the ones that have a meaning of their own, as one text, and what in them nobody can look at."""
    found = read({name: value for name, value in fields.items() if value})
    for other in found.others:
        yield Piece("other", other, where)
    if found.texts:
        yield Piece("text", "\n".join(found.texts), where)


class Read(NamedTuple):
    """What there is in a JSON value."""

    texts: tuple[str, ...]
    others: tuple[str, ...]
    """Kinds of things that nobody can look at."""


def read(value: Any, *, data: bool = False) -> Read:
    """Every string in a value, and its keys but for the protocol's own words; and what no guard can look at: media,
    files written into a text, long encoded strings, long lists of numbers. In `data`, such as a schema of arguments,
    names like `file` are names of things and hold nothing; so they are below the protocol's own fields for data.
    Raises RecursionError for what is nested too deeply."""
    texts: dict[str, None] = {}
    others: dict[str, None] = {}
    _walk(value, "", texts, others, data=data)
    return Read(tuple(texts), tuple(others))


_DATA = frozenset({"arguments", "parameters", "schema", "input", "json_schema"})
NUMBERS = 16
"""A longer list of numbers can be a picture or a text in the model's own code."""


def _walk(value: Any, name: str, texts: dict[str, None], others: dict[str, None], *, data: bool) -> None:
    if isinstance(value, str):
        _string(value, name, texts, others)
    elif isinstance(value, Mapping):
        if not data and isinstance(kind := value.get("type"), str) and MEDIA.search(kind):
            others[named(kind)] = None
        for key, inner in value.items():
            if key not in PROTOCOL:
                _string(key, "", texts, others)
            if not data and inner and MEDIA.search(key):
                others[named(key)] = None
            _walk(inner, key, texts, others, data=data or key in _DATA)
    elif isinstance(value, list):
        if sum(isinstance(inner, int | float) for inner in value) > NUMBERS:
            if data:
                texts[" ".join(str(inner) for inner in value)] = None
            else:
                others["numbers"] = None
        for inner in value:
            _walk(inner, name, texts, others, data=data)


def _string(value: str, name: str, texts: dict[str, None], others: dict[str, None]) -> None:
    if not value.strip() or value in WORDS.get(name, ()) or (name in IDS and is_name(value)):
        return
    if INLINE.search(value):
        others["inline data"] = None
    elif _BLOB.fullmatch(value):
        others["encoded data"] = None
    else:
        texts[unescaped(value.replace("_", " ") if is_name(value) else value)] = None


def named(kind: str) -> str:
    """The name of a kind of thing, short enough to be said in an answer."""
    return kind[:40] if kind and is_name(kind[:40]) else "unnamed"


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
