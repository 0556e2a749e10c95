"""The parameters that a request may have, and the check of each. What is not listed here is refused.

A check returns what goes on in the place of a value, and leaves in `Found` what of it has to be looked at: a setting is
a number or one of a few words, so nothing can be said in it; everything that consists of words is read.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import ApiError
from ..intake import read

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MODEL = re.compile(r"[\w.:/@+-]{1,200}")
_PLAIN_ID = re.compile(r"(?:(?:call|functions?|tool|toolu|chatcmpl|fc|ctc|msg|rs)[._:-])*"
                       r"(?:[0-9._:-]*|[0-9a-f]{16,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")  # fmt: skip
_PREFIX = re.compile(r"(?:call|toolu|fc|ctc|msg|rs)_")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
LEVELS = ("low", "medium", "high")


@dataclass
class Found:
    """What of a request has to be looked at besides its messages."""

    texts: dict[str, None] = field(default_factory=dict)
    others: dict[str, None] = field(default_factory=dict)
    """Kinds of things that nobody can look at."""
    names: set[str] = field(default_factory=set)
    """Of tools; they are among the texts."""

    def take(self, value: Any) -> None:
        found = read(value, data=True)
        self.texts |= dict.fromkeys(found.texts)
        self.others |= dict.fromkeys(found.others)


Check = Callable[[Any, Found, str], Any]
"""(value, what is found, name) -> what goes on. Raises ApiError 422 for another kind of value."""


def wrong(name: str, expected: str) -> ApiError:
    return ApiError(422, "invalid_request", f"{name}: expected {expected}", name)


def unsupported(name: str) -> ApiError:
    """For a field that is not on the list. Its name is said only if it is one: it is the client's."""
    shown = name if re.fullmatch(r"[\w.]{1,60}", name) else "a field"
    why = f"{shown} is not among the fields that are checked here and passed on"
    return ApiError(400, "unsupported_parameter", why, shown if shown == name else None)


def flag(value: Any, found: Found, name: str) -> Any:
    if type(value) is not bool:
        raise wrong(name, "true or false")
    return value


def off(value: Any, found: Found, name: str) -> Any:
    """What works only without an answer that waits to be checked."""
    if value is not False:
        raise unsupported(name)
    return value


def number(value: Any, found: Found, name: str) -> Any:
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) >= 1e18:
        raise wrong(name, "a number")
    return value


def between(low: int, high: int) -> Check:
    def check(value: Any, found: Found, name: str) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise wrong(name, f"a number from {low} to {high}")
        return value

    return check


def numbers(value: Any, found: Found, name: str) -> Any:
    """A few of them: many could be a text in the model's own code."""
    if not isinstance(value, list) or len(value) > 16:
        raise wrong(name, "at most 16 numbers")
    return [number(each, found, name) for each in value]


def one_of(*words: str) -> Check:
    def check(value: Any, found: Found, name: str) -> Any:
        if value not in words:
            raise wrong(name, f"one of {', '.join(words)}")
        return value

    return check


def listed(check: Check, most: int = 128) -> Check:
    def every(value: Any, found: Found, name: str) -> Any:
        if not isinstance(value, list) or len(value) > most:
            raise wrong(name, f"a list of at most {most}")
        return [check(each, found, f"{name}.{n}") for n, each in enumerate(value)]

    return every


def words(value: Any, found: Found, name: str) -> Any:
    """Whatever it is, its strings are read."""
    found.take(value)
    return value


def either(check: Check, *kinds: type, other: Check = words) -> Check:
    """`check` for these types of values, `other` for the rest."""
    return lambda value, found, name: (check if isinstance(value, kinds) else other)(value, found, name)


def only(**fields: Check) -> Check:
    """An object with these fields and no others."""

    def check(value: Any, found: Found, name: str) -> Any:
        if not isinstance(value, Mapping):
            raise wrong(name, "an object")
        return passed(value, fields, found, name)

    return check


def passed(value: Mapping[str, Any], fields: Mapping[str, Check], found: Found, name: str = "") -> dict[str, Any]:
    """The fields of an object that are listed, checked. Those that say nothing (null) are left out; raises ApiError 400
    for one that is not listed."""
    made = {}
    for own, inner in value.items():
        if inner is None:
            continue
        if own not in fields:
            raise unsupported(f"{name}.{own}" if name else own)
        made[own] = fields[own](inner, found, f"{name}.{own}" if name else own)
    return made


def nullable(value: Mapping[str, Any], made: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """With the nulls of these fields, which mean something."""
    return made | {name: None for name in names if name in value and value[name] is None}


def model(value: Any, found: Found, name: str) -> Any:
    if not isinstance(value, str) or not MODEL.fullmatch(value):
        raise wrong(name, "the name of a model")
    return value


def alias(value: Any, found: Found, name: str) -> Any:
    """An identifier that only has to be the same for the same: a hash of it goes on, in which nothing can be said."""
    if not isinstance(value, str) or len(value) > 512:
        raise wrong(name, "a short text")
    return _hashed(value)


def identifier(value: Any, found: Found, name: str) -> Any:
    """The id of a call, which templates show to the model: as it is where it consists of numbers and names of tools, by
    its hash otherwise, which is the same for the call and its result."""
    if not isinstance(value, str) or len(value) > 512:
        raise wrong(name, "a short text")
    rest = value
    for each in sorted(found.names, key=len, reverse=True):
        rest = rest.replace(each, "")
    return value if _PLAIN_ID.fullmatch(rest) and len(rest) <= 80 else _hashed(value)


def _hashed(value: str) -> str:
    """9 to 40 letters and digits, as many as there were: some servers count them. Prefixes of the protocols stay."""
    head = m[0] if (m := _PREFIX.match(value)) else ""
    number, made = int.from_bytes(hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest(), "big"), ""
    for _ in range(min(max(len(value) - len(head), 9), 40)):
        number, digit = divmod(number, len(ALPHABET))
        made += ALPHABET[digit]
    return head + made


def bias(value: Any, found: Found, name: str) -> Any:
    """Numbers of tokens, and numbers."""
    plain = isinstance(value, Mapping) and len(value) <= 1024
    if not plain or not all(re.fullmatch(r"[0-9]{1,7}", key) for key in value):
        raise wrong(name, "tokens by number, each with a number")
    return {key: number(inner, found, name) for key, inner in value.items()}


def tools(value: Any, found: Found, name: str) -> Any:
    """Functions and tools with a text. The upstream's own tools read files and pages that no guard has seen."""
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise wrong(name, "a list of tools")
    for place, each in enumerate(value):
        if each.get("type", "function") not in ("function", "custom"):
            raise unsupported(f"{name}.{place}.type")
        own = [each, *(inner for inner in (each.get("function"), each.get("custom")) if isinstance(inner, Mapping))]
        found.names |= {label for inner in own if isinstance(label := inner.get("name"), str) and len(label) <= 64}
        found.take(each)
    return value


CACHE = only(type=one_of("ephemeral"), ttl=one_of("5m", "1h"))
FORMAT = only(type=one_of("text", "json_object", "json_schema", "grammar"), json_schema=words, name=words,
              schema=words, description=words, strict=flag, grammar=words)  # fmt: skip
SHARED: dict[str, Check] = {
    "model": model, "stream": flag, "temperature": number, "top_p": number, "top_logprobs": number, "user": alias,
    "safety_identifier": alias, "prompt_cache_key": alias, "store": flag, "parallel_tool_calls": flag,
    "metadata": words, "tools": tools, "prompt_cache_retention": one_of("in_memory", "in-memory", "24h"),
    "service_tier": one_of("auto", "default", "flex", "scale", "priority"),
    "stream_options": only(include_usage=flag, include_obfuscation=flag, continuous_usage_stats=flag),
    "tool_choice": either(one_of("none", "auto", "required"), str),
}  # fmt: skip
"""Parameters of both protocols."""
CHAT: dict[str, Check] = SHARED | {
    "messages": lambda value, found, name: value,  # read by themselves
    "n": between(1, 128), "seed": number, "max_tokens": number, "max_completion_tokens": number, "logprobs": flag,
    "logit_bias": bias, "frequency_penalty": number, "presence_penalty": number, "stop": words,
    "reasoning_effort": one_of(*EFFORTS), "verbosity": one_of(*LEVELS), "modalities": listed(one_of("text")),
    "functions": tools, "response_format": FORMAT,
    "function_call": either(one_of("none", "auto"), str),
    "prediction": only(type=one_of("content"), content=words),
    # of servers of open models
    "top_k": number, "min_p": number, "top_a": number, "typical_p": number, "repetition_penalty": number,
    "length_penalty": number, "min_tokens": number, "use_beam_search": flag, "ignore_eos": flag,
    "skip_special_tokens": flag, "spaces_between_special_tokens": flag, "include_stop_str_in_output": flag,
    "add_generation_prompt": flag, "continue_final_message": flag, "priority": number, "stop_token_ids": numbers,
    "include_reasoning": flag, "separate_reasoning": flag, "stream_reasoning": flag, "enable_thinking": flag,
    "guided_json": words, "guided_regex": words, "guided_choice": words, "guided_grammar": words,
    "structured_outputs": words, "regex": words, "ebnf": words, "json_schema": words,
    "thinking": only(type=one_of("enabled", "disabled", "auto"), budget_tokens=number),
    "reasoning": only(effort=one_of(*EFFORTS), max_tokens=number, enabled=flag, exclude=flag),
    "chat_template_kwargs": only(enable_thinking=flag, thinking=flag, thinking_budget=number,
                                 reasoning_effort=one_of(*EFFORTS)),
}  # fmt: skip
RESPONSES: dict[str, Check] = SHARED | {
    "input": lambda value, found, name: value, "instructions": lambda value, found, name: value,  # read by themselves
    "max_output_tokens": number, "max_tool_calls": number, "background": off,
    "include": listed(one_of("message.output_text.logprobs")), "truncation": one_of("auto", "disabled"),
    "reasoning": only(effort=one_of(*EFFORTS), summary=one_of("auto", "concise", "detailed"),
                      generate_summary=one_of("auto", "concise", "detailed")),
    "text": only(format=FORMAT, verbosity=one_of(*LEVELS)),
    "top_k": number, "min_p": number, "repetition_penalty": number, "seed": number, "stop": words,
}  # fmt: skip
